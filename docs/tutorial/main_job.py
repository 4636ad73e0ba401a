"""The main job: from two registry tables to a published, certified datapackage."""

from datetime import date

import altair as alt
import polars as pl

import dvengine as dv
from dvengine.demo import fylker_geojson, kommuner

# Two tables of one moment, joined and banded in Polars; nothing is read before it is needed.
with dv.snapshot("registry") as moment:
    person = dv.read_sql(moment, table="person", columns=["person_id", "foedt", "kjonn", "kommunenummer"])
    spells = dv.read_sql(moment, table="sykefravaer", columns=["person_id", "fom"])
    decade = ((pl.col("fom").dt.year() - pl.col("foedt").dt.year()) // 10 * 10).clip(20, 60)
    band = decade.replace_strict({20: "15-29", 30: "30-39", 40: "40-49", 50: "50-59", 60: "60-74"})
    sick = spells.pipe(
        lambda lf: lf.filter(pl.col("fom") >= date(2024, 1, 1), pl.col("fom") < date(2025, 1, 1))
        .sort("fom", "person_id").unique("person_id", keep="first", maintain_order=True)
        .join(person.lazy(), on="person_id")
        .select("person_id", "kjonn", region="kommunenummer", alder=band)
    )
    county_of = dict(kommuner().select("kommunenummer", "fylkesnummer").iter_rows())
    counts = dv.tabulate(sick, by=["region", "kjonn", "alder"], unit="person_id", hierarchies={"region": county_of})

# Fewer than five persons are hidden, and whatever else an attacker who knows that rule could work them out from.
safe = dv.suppress(counts, rule=dv.Threshold(5), attacker="rule")

# Figures are drawn from the published table, never from the registry.
names = kommuner().select(region="fylkesnummer", fylke="fylkesnavn").unique()
county = safe.frame.filter(alder="total").join(names, on="region").sort("region")
bars = alt.Chart(county.filter(pl.col("kjonn") != "total"), width=420, height=520).mark_bar().encode(
    x=alt.X("n:Q", title="persons"), y=alt.Y("fylke:N", title=None, sort="-x"), color=alt.Color("kjonn:N", title="sex"))
shapes = alt.Data(values=fylker_geojson(), format=alt.DataFormat(type="json", property="features"))
totals = alt.LookupData(county.filter(kjonn="total"), key="region", fields=["n", "fylke"])
title = alt.Title("Persons with sick leave", subtitle="© Kartverket, CC BY 4.0")
counties = alt.Chart(shapes, title=title, width=420, height=520).mark_geoshape(stroke="white").encode(
    color=alt.Color("n:Q", title="persons")).transform_lookup("properties.fylkesnummer", totals).project(
    type="transverseMercator", rotate=[-15, 0, 0])

package = dv.DataPackage(
    name="sykefravaer", access="open", license="CC-BY-4.0", publisher="Demo agency", contact="statistikk@example.org",
    title={"nb": "Sykefravær etter kommune, kjønn og alder", "en": "Sick leave by municipality, sex and age"},
    description={"nb": "Personer med minst ett sykefravær som begynte i 2024. Syntetisk: ingen rad beskriver en virkelig person.",
                 "en": "Persons with a spell of sick leave that began in 2024. Synthetic: no row describes a real person."},
    keywords=["sykefravær", "kommune", "helse"])
package.add("sykefravaer", safe, description="Personer etter kommune eller fylke, kjønn og aldersgruppe, med summer.",
            fields={"region": {"description": "Kommunenummer, fylkesnummer, eller total"},
                    "kjonn": {"description": "K kvinner, M menn, eller total"}, "alder": {"description": "År fylt i 2024"},
                    "n": {"description": "Antall personer; tomt der det er skjult", "unit": "personer"}})
package.add_view("fylker", bars, title="Sykefravær etter fylke og kjønn", resource="sykefravaer")
package.add_view("kart", counties, title="Sykefravær etter fylke", resource="sykefravaer")

release = dv.publish(package, "open-data", catalog="open")
site = dv.build_catalog("open-data", "catalogue", title="Open data")
