"""The main job: from two registry tables to a published, certified datapackage."""

import altair as alt
import polars as pl

import dvengine as dv
from dvengine.demo import fylker_geojson, kommuner

# Two tables of one moment, joined and banded in Polars; nothing is read before it is needed.
with dv.snapshot("registry") as moment:
    person = dv.read_sql(moment, table="person", columns=["person_id", "foedt", "kjonn", "kommunenummer"])
    spells = dv.read_sql(moment, table="sykefravaer", columns=["person_id", "fom", "grad", "utbetalt"])
    decade = ((pl.col("fom").dt.year() - pl.col("foedt").dt.year()) // 10 * 10).clip(20, 60)
    band = decade.replace_strict({20: "15-29", 30: "30-39", 40: "40-49", 50: "50-59", 60: "60-74"})
    sick = spells.pipe(
        lambda lf: lf.filter(pl.col("fom").dt.year() == 2024)
        .sort("fom", "person_id").unique("person_id", keep="first", maintain_order=True)
        .join(person.lazy(), on="person_id")
        .select("person_id", "kjonn", region="kommunenummer", alder=band)
    )  # fmt: skip
    counts = dv.tabulate(sick, by=["region", "kjonn", "alder"], unit="person_id",
                         hierarchies={"region": dict(kommuner().select("kommunenummer", "fylkesnummer").iter_rows())})  # fmt: skip

# Fewer than five persons are hidden, and whatever else an attacker who knows that rule could work them out from.
safe = dv.suppress(counts, rule=dv.Threshold(5), attacker="rule")

# Figures are drawn from the published table, never from the registry.
names = kommuner().select(region="fylkesnummer", fylke="fylkesnavn").unique()
county = safe.frame.filter(alder="total").join(names, on="region").sort("region")
bars = alt.Chart(county.filter(pl.col("kjonn") != "total"), width=520).mark_bar().encode(
    x=alt.X("n:Q", title="persons with sick leave"), y=alt.Y("fylke:N", title=None, sort="-x"), color=alt.Color("kjonn:N", title="sex"))  # fmt: skip
shapes = alt.Data(values=fylker_geojson(), format=alt.DataFormat(type="json", property="features"))
totals = alt.LookupData(county.filter(kjonn="total"), key="region", fields=["n", "fylke"])
fylkeskart = alt.Chart(shapes, title=alt.Title("Persons with sick leave", subtitle="© Kartverket, CC BY 4.0")).mark_geoshape(stroke="white").encode(
    color=alt.Color("n:Q", title="persons")).transform_lookup("properties.fylkesnummer", totals).project(
    type="transverseMercator", rotate=[-15, 0, 0]).properties(width=420, height=520)  # fmt: skip

package = dv.DataPackage(name="sykefravaer", title={"nb": "Sykefravær etter kommune, kjønn og alder", "en": "Sick leave by municipality, sex and age"},
                         description="Persons with at least one spell of sick leave in 2024. Synthetic: no row describes a real person.",
                         license="CC-BY-4.0", publisher="Demo agency", contact="statistikk@example.org", access="open",
                         keywords=["sykefravær", "kommune", "helse"])  # fmt: skip
package.add("sykefravaer", safe, description="Persons by municipality or county, sex and age band; margins included.")
package.add_view("fylker", bars, title="Sick leave by county and sex", resource="sykefravaer")
package.add_view("kart", fylkeskart, title="Sick leave by county", resource="sykefravaer")

release = dv.publish(package, "open-data", catalog="open")
site = dv.build_catalog("open-data", "catalogue", title="Open data")
