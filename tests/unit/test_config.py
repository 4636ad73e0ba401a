"""Settings: found where they were said to be, and secrets shown nowhere."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import pickle
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from dvengine._errors import ConfigError
from dvengine.config import Secret, Settings, Url, load_settings
from dvengine.config._secrets import expand

CANARY = "kanarifugl-4217"
AWKWARD = " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~æøå€"


# ---------------------------------------------------------------- secrets


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "%s".__mod__,
        "%r".__mod__,
        lambda s: json.dumps(s, default=str),
        lambda s: f"{[s]} {s!r}",
    ],
)
def test_secret_is_never_shown(show: Callable[[object], str]) -> None:
    assert CANARY not in show(Secret.literal(CANARY))


@pytest.mark.parametrize("carry", [pickle.dumps, copy.copy, copy.deepcopy])
def test_secret_does_not_travel(carry: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="does not pickle") as caught:
        carry(Secret.literal(CANARY))
    assert CANARY not in str(caught.value)


def test_secret_has_no_equality_by_value_and_no_namespace_to_dump() -> None:
    assert Secret.literal(CANARY) != Secret.literal(CANARY)
    with pytest.raises(TypeError):
        vars(Secret.literal(CANARY))


def test_secret_is_read_each_time_so_that_rotation_works() -> None:
    environ = {"PW": "old"}
    settings = Settings(
        {"sources": {"r": {"url": "postgresql://db/r", "password": "${PW}"}}}, environ=environ
    )
    password = settings.source("r").password
    assert password.reveal() == "old"
    environ["PW"] = "new"
    assert password.reveal() == "new"


# ---------------------------------------------------------------- references


def test_reference_is_looked_up_in_the_environment_then_in_the_mounted_file(tmp_path: Path) -> None:
    (tmp_path / "PW").write_text("from file\n")
    assert expand("${PW}", where="x", environ={"PW": "from environ"}, secrets=tmp_path) == "from environ"
    assert expand("a${PW}b${PW}", where="x", environ={}, secrets=tmp_path) == "afrom filebfrom file"
    assert expand("${PW}", where="x", environ={"PW": ""}, secrets=tmp_path) == ""  # empty is a value
    assert expand("$PW {PW} $", where="x", environ={"PW": "1"}) == "$PW {PW} $"


def test_missing_reference_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no value for sources\.r\.password") as caught:
        expand(f"{CANARY}${{PW}}", where="sources.r.password", environ={}, secrets=tmp_path)
    assert caught.value.hint == "looked in: environment variable PW, secrets directory file PW"
    assert CANARY not in str(caught.value)


def test_reference_cannot_climb_out_of_the_secrets_directory(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text(CANARY)
    (tmp_path / "secrets").mkdir()
    with pytest.raises(ConfigError):
        expand("${../outside}", where="x", environ={}, secrets=tmp_path / "secrets")


def test_secret_file_that_is_not_text_does_not_show_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "PW").write_bytes(CANARY.encode() + b"\xff")
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        expand("${PW}", where="x", environ={}, secrets=tmp_path)
    assert CANARY not in everything_of(caught.value)


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("text", "parts", "shown"),
    [
        ("postgresql://db/reg", ("postgresql", None, "db", None, "/reg"), "postgresql://db/reg"),
        ("postgres://ola@db:5432/reg", ("postgresql", "ola", "db", 5432, "/reg"), "postgresql://ola@db:5432/reg"),
        ("POSTGRES://ola:pw@DB/reg", ("postgresql", "ola", "db", None, "/reg"), "postgresql://ola@db/reg"),
        ("postgresql://ola:pw@[::1]:5432/reg", ("postgresql", "ola", "::1", 5432, "/reg"), "postgresql://ola@[::1]:5432/reg"),
        ("postgresql:///reg", ("postgresql", None, None, None, "/reg"), "postgresql:///reg"),
        ("postgresql://o%40a:pw@db/r", ("postgresql", "o@a", "db", None, "/r"), "postgresql://o%40a@db/r"),
        ("s3://bucket/a/b c/æ", ("s3", None, "bucket", None, "/a/b c/æ"), "s3://bucket/a/b%20c/%C3%A6"),
        ("s3://bucket", ("s3", None, "bucket", None, ""), "s3://bucket"),
        ("s3://bucket/a@b", ("s3", None, "bucket", None, "/a@b"), "s3://bucket/a%40b"),
        ("file:///tmp/x", ("file", None, None, None, "/tmp/x"), "file:///tmp/x"),
        ("https://elastic:pw@es:9200", ("https", "elastic", "es", 9200, ""), "https://elastic@es:9200"),
    ],
)  # fmt: skip
def test_url_is_parsed_and_shown(text: str, parts: tuple[object, ...], shown: str) -> None:
    url = Url.parse(text)
    assert (url.scheme, url.user, url.host, url.port, url.path) == parts
    assert str(url) == shown
    assert Url.parse(shown) == dataclasses.replace(url, password=None)


@pytest.mark.parametrize("character", AWKWARD)
def test_password_may_hold_any_character_and_is_not_shown(character: str) -> None:
    password = f"{character}{CANARY}{character}"
    url = Url.parse(f"postgresql://ola:{quote(password, safe='')}@db:5432/reg?sslmode=require")
    assert url.password.reveal() == password
    assert (url.user, url.host, url.port, url.path) == ("ola", "db", 5432, "/reg")
    assert CANARY not in str(url) + repr(url) + f"{url}"


@pytest.mark.parametrize("character", AWKWARD)
def test_password_pasted_in_without_encoding_is_understood_or_refused_but_never_shown(character: str) -> None:
    for password in (f"{character}{CANARY}", f"12{character}{CANARY}", f"a{character}{CANARY}{character}b"):
        text = f"postgresql://ola:{password}@db:5432/reg"
        outcome = parsed_or_refused(text)
        if isinstance(outcome, ConfigError):
            assert CANARY not in everything_of(outcome)
            assert "percent-encode" in outcome.hint
        else:
            assert (outcome.password.reveal(), outcome.host, outcome.path) == (password, "db", "/reg")
            assert CANARY not in str(outcome) + repr(outcome)


def parsed_or_refused(text: str) -> Url | ConfigError:
    try:
        return Url.parse(text)
    except ConfigError as error:
        return error


@pytest.mark.parametrize(
    "option",
    ["password", "PASSWORD", "sslpassword", "secret_access_key", "access_key_id", "session_token", "api_key", "sig", "passphrase", "client_credential"],
)  # fmt: skip
def test_secret_options_of_a_url_are_not_shown(option: str) -> None:
    url = Url.parse(f"s3://bucket/a?region=eu-north-1&{option}={CANARY}%2B+x")
    assert url.options == {"region": "eu-north-1"}
    assert CANARY not in str(url) + repr(url)
    held = url.password if option == "password" else url.secrets[option]
    assert held.reveal() == f"{CANARY}++x"  # + is itself in a URL that is no form


def test_userinfo_password_wins_and_the_option_stays_secret() -> None:
    url = Url.parse(f"postgresql://ola:pw@db/r?password={CANARY}")
    assert url.password.reveal() == "pw"
    assert CANARY not in repr(url)


def test_options_survive_a_round_trip() -> None:
    url = Url.parse("postgresql://db/r?application_name=a%20b%26c&options=-c%20x%3D1&empty=")
    assert url.options == {"application_name": "a b&c", "options": "-c x=1", "empty": ""}
    assert Url.parse(str(url)).options == url.options


@pytest.mark.parametrize(
    "text",
    ["", CANARY, f"db:{CANARY}@host", f"postgresql://db:{CANARY}/r", f"postgresql://[{CANARY}", f"postgresql://a:1/{CANARY}@db/r", f"s3://bucket/a#{CANARY}"],
)  # fmt: skip
def test_refused_address_is_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Url.parse(text)
    assert CANARY not in everything_of(caught.value)
    assert caught.value.hint


# ---------------------------------------------------------------- aliases and precedence

FILE = {
    "sources": {
        "registry": {"url": "postgresql://ola@db/reg", "password": "from-file", "lock_timeout": "5s"}
    },
    "stores": {
        "open-data": {
            "url": "s3://bucket/open",
            "endpoint": "https://s3.example",
            "secret_access_key": "${SK}",
        }
    },
    "catalogs": {
        "open": {"url": "https://es:9200", "access": "open", "api_key": "${AK}", "index": "packages"}
    },
    "keys": {"registry-key": {"secret": "${HMAC}"}},
}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "from-file"),
        ({"DVENGINE_SOURCES__REGISTRY__PASSWORD": "from-environ"}, "from-environ"),
        ({"DVENGINE_SOURCES__REGISTRY__PASSWORD": ""}, ""),
        ({"DVENGINE_SOURCES__REGISTRY__PASSWORD": "${OTHER}", "OTHER": "by-reference"}, "by-reference"),
        ({"DVENGINE_SOURCES__REGISTRY__URL": "postgresql://u:in-url@db/x"}, "from-file"),
        ({"DVENGINE_SOURCES__OTHER__PASSWORD": "of-another"}, "from-file"),
    ],
)
def test_environment_wins_over_the_file(environ: dict[str, str], expected: str) -> None:
    assert Settings(FILE, environ=environ).source("registry").password.reveal() == expected


def test_an_alias_may_live_in_the_environment_alone() -> None:
    environ = {
        "DVENGINE_STORES__MY_STORE__URL": "s3://b/p",
        "DVENGINE_STORES__MY_STORE__ACCESS_KEY_ID": CANARY,
    }
    settings = Settings({}, environ=environ)
    assert settings.names("stores") == ["my-store"]
    store = settings.store("my-store")
    assert str(store.url) == "s3://b/p"
    assert store.secrets["access_key_id"].reveal() == CANARY
    assert CANARY not in repr(store) + repr(settings)


def test_names_from_file_and_environment_are_not_listed_twice() -> None:
    environ = {"DVENGINE_STORES__OPEN_DATA__REGION": "x", "DVENGINE_STORES__NEW__URL": "s3://n"}
    assert Settings(FILE, environ=environ).names("stores") == ["new", "open-data"]


@pytest.mark.parametrize(
    ("look_up", "hint"),
    [
        (lambda s: s.source("registri"), "did you mean 'registry'?"),
        (lambda s: s.store("opendata"), "did you mean 'open-data'?"),
        (lambda s: s.catalog("zzz"), "known catalogs: open (settings from a test); or give a URL"),
        (lambda s: s.key("registry_key"), "did you mean 'registry-key'?"),
        (lambda s: Settings({}, origin="no settings file", environ={}).source("x"), "known sources: none (settings from no settings file); or give a URL"),
    ],
)  # fmt: skip
def test_unknown_alias_is_answered_with_the_nearest_or_with_all(
    look_up: Callable[[Settings], object], hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        look_up(Settings(FILE, origin="a test", environ={}))
    assert caught.value.hint == hint


def test_url_in_place_of_an_alias_needs_no_settings() -> None:
    source = Settings({}, environ={}).source("postgresql://ola:pw@db/reg")
    assert (source.name, source.password.reveal()) == ("postgresql://ola@db/reg", "pw")


@pytest.mark.parametrize("where", ["sub/folder", "./x", ".", Path("x")])
def test_path_in_place_of_a_store_alias_is_a_folder(where: str | Path) -> None:
    url = Settings({}, environ={}).store(where).url
    assert (url.scheme, url.path) == ("file", str(Path(where).absolute()))


def test_value_inside_a_url_is_taken_as_it_is() -> None:
    environ = {"PW": AWKWARD, "HOST": "db.example"}
    raw = {"sources": {"r": {"url": "postgresql://ola:${PW}@${HOST}:5432/reg"}}}
    source = Settings(raw, environ=environ).source("r")
    assert source.password.reveal() == AWKWARD
    assert str(source.url) == "postgresql://ola@db.example:5432/reg"


def test_reference_may_be_the_whole_url() -> None:
    raw = {"sources": {"r": {"url": "${REGISTRY_URL}"}}}
    source = Settings(raw, environ={"REGISTRY_URL": "postgresql://ola:p%40@db/reg"}).source("r")
    assert (source.url.host, source.password.reveal()) == ("db", "p@")


def test_secret_looking_options_are_secrets_whatever_the_kind() -> None:
    raw = {
        "sources": {
            "r": {"url": "postgresql://db/r", "sslpassword": CANARY, "sslrootcert": "${CERTS}/ca.pem"}
        },
        "catalogs": {"c": {"url": "https://es", "bearer_token": CANARY, "index": "i"}},
        "stores": {"s": {"url": "s3://b", "sas_key": CANARY, "region": "${REGION}"}},
    }
    settings = Settings(raw, environ={"CERTS": "/etc/certs", "REGION": "eu-north-1"})
    source, catalog, store = settings.source("r"), settings.catalog("c"), settings.store("s")
    assert CANARY not in f"{source} {catalog} {store} {settings}"
    assert source.options == {"sslrootcert": "/etc/certs/ca.pem"}
    assert source.url.secrets["sslpassword"].reveal() == CANARY
    assert (catalog.options, catalog.secrets["bearer_token"].reveal()) == ({"index": "i"}, CANARY)
    assert (store.options, store.secrets["sas_key"].reveal()) == ({"region": "eu-north-1"}, CANARY)


def test_number_is_a_password_too() -> None:
    settings = Settings({"sources": {"r": {"url": "postgresql://db/r", "password": 1234}}}, environ={})
    assert settings.source("r").password.reveal() == "1234"


def test_catalog_access_is_one_of_three_and_internal_unless_said() -> None:
    assert Settings(FILE, environ={}).catalog("open").access == "open"
    assert Settings({}, environ={}).catalog("https://es:9200").access == "internal"
    with pytest.raises(ConfigError, match=r"catalogs\.c\.access must be open, internal or restricted"):
        Settings({"catalogs": {"c": {"url": "https://es", "access": "public"}}}, environ={}).catalog("c")


# ---------------------------------------------------------------- files


def test_file_is_the_argument_then_the_variable_then_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, work = tmp_path / "home", tmp_path / "here"
    for folder, alias in (
        (home / ".config" / "dvengine", "home"),
        (work, "here"),
        (tmp_path, "named"),
        (tmp_path / "arg", "arg"),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        name = "settings.toml" if alias == "home" else "dvengine.toml"
        (folder / name).write_text(f'[sources.{alias}]\nurl = "postgresql://{alias}/r"\n')
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    monkeypatch.delenv("DVENGINE_SETTINGS", raising=False)
    assert load_settings().names("sources") == ["here"]
    (work / "dvengine.toml").unlink()
    assert load_settings().names("sources") == ["home"]
    monkeypatch.setenv("DVENGINE_SETTINGS", str(tmp_path / "dvengine.toml"))
    assert load_settings().names("sources") == ["named"]
    assert load_settings(tmp_path / "arg" / "dvengine.toml").names("sources") == ["arg"]
    (home / ".config" / "dvengine" / "settings.toml").unlink()
    monkeypatch.delenv("DVENGINE_SETTINGS")
    assert load_settings().origin == "no settings file"


def test_named_file_that_is_missing_or_broken_is_an_error_without_its_content(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not there"):
        load_settings(tmp_path / "none.toml")
    for content in (f'password = "{CANARY}'.encode(), CANARY.encode() + b"\xff"):
        (tmp_path / "dvengine.toml").write_bytes(content)
        with pytest.raises(ConfigError, match=r"dvengine\.toml is not valid TOML") as caught:
            load_settings(tmp_path / "dvengine.toml")
        assert CANARY not in everything_of(caught.value)


# ---------------------------------------------------------------- the canary


def everything_of(error: BaseException) -> str:
    """What a log, a notebook or a pickle could show of an error, its causes included unless suppressed."""
    record = logging.LogRecord("x", logging.ERROR, "x", 1, "failed: %s", (error,), (type(error), error, None))
    shown = [str(error), repr(error), repr(vars(error)), logging.Formatter().format(record)]
    shown += [pickle.dumps(error).decode("latin-1")]
    # Lines of source are not the error's; its text and its causes' texts are.
    shown += traceback.TracebackException.from_exception(error).format_exception_only()
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(shown) + (everything_of(cause) if cause else "")


SECRETIVE = {
    "sources": {
        "text": f"postgresql://u:{CANARY}@db/r",
        "bad-port": {"url": f"postgresql://u:pw@db:{CANARY}/r"},
        "by-reference": {"url": "postgresql://u@db:${PORT}/r"},
        "no-scheme": {"url": f"u:{CANARY}@db/r"},
        "no-url": {"password": CANARY},
        "missing": {"url": "postgresql://db/r", "password": f"{CANARY}${{NONE}}"},
    },
    "stores": {"no-url": {"secret_access_key": CANARY}, "bad": {"url": CANARY}},
    "catalogs": {"bad": {"url": f"https://es:{CANARY}"}, "access": {"url": "https://es", "access": "all", "password": CANARY}},
    "keys": {"missing": {"secret": f"{CANARY}${{NONE}}"}, "empty": {"other": CANARY}},
}  # fmt: skip


@pytest.mark.parametrize(
    "look_up",
    [
        lambda s: s.source("text"),
        lambda s: s.source("bad-port"),
        lambda s: s.source("by-reference"),
        lambda s: s.source("no-scheme"),
        lambda s: s.source("no-url"),
        lambda s: s.source("missing").password.reveal(),
        lambda s: s.source(f"u:{CANARY}@db"),
        lambda s: s.source(f"postgresql:u:{CANARY}@db"),
        lambda s: s.source(f"postgresql://u:{CANARY}@db:x/r"),
        lambda s: s.store("no-url"),
        lambda s: s.store("bad"),
        lambda s: s.store(f"{CANARY}@bucket"),
        lambda s: s.catalog("bad"),
        lambda s: s.catalog("access"),
        lambda s: s.key("missing").reveal(),
        lambda s: s.key("empty"),
        lambda s: s.key(CANARY),
    ],
)
def test_no_error_of_the_settings_holds_the_canary(look_up: Callable[[Settings], object]) -> None:
    with pytest.raises(ConfigError) as caught:
        look_up(Settings(SECRETIVE, environ={"PORT": CANARY}))
    assert CANARY not in everything_of(caught.value)


# ---------------------------------------------------------------- slips


@pytest.mark.parametrize(
    ("raw", "look_up", "message", "hint"),
    [
        ({"source": {"registry": {"url": "postgresql://db/r"}}}, repr, "unknown key 'source'", "did you mean 'sources'?"),
        ({"sources": {"r": {"ulr": "postgresql://db/r"}}}, lambda s: s.source("r"), "sources.r has no url", "did you mean url by 'ulr'?"),
        ({"sources": {"r": {"password": CANARY}}}, lambda s: s.source("r"), "sources.r has no url", 'write url = "…" below [sources.r]'),
        ({"stores": {"o": {"url": "s3://b", "regoin": "x"}}}, lambda s: s.store("o"), "unknown key 'regoin'", "did you mean 'region'?"),
        ({"catalogs": {"o": {"url": "s3://b", "acces": "open"}}}, lambda s: s.catalog("o"), "unknown key 'acces'", "did you mean 'access'?"),
        ({"stores": {"o": {"url": "s3://b", "secret_acces_key": CANARY}}}, lambda s: s.store("o"), "unknown key 'secret_acces_key'", "did you mean 'secret_access_key'?"),
        ({"keys": {"k": {"secrte": CANARY}}}, lambda s: s.key("k"), "unknown key 'secrte'", "did you mean 'secret'?"),
    ],
)  # fmt: skip
def test_a_misspelled_setting_is_an_error_that_names_the_right_one(
    raw: dict[str, Any], look_up: Callable[[Settings], object], message: str, hint: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        look_up(Settings(raw, environ={}))
    assert caught.value.hint == hint
    assert CANARY not in str(caught.value)


def test_a_source_keeps_the_options_of_its_driver() -> None:
    raw = {"sources": {"r": {"url": "postgresql://db/r", "application_name": "night"}}}
    assert Settings(raw, environ={}).source("r").options == {"application_name": "night"}


def test_origins_name_the_place_of_each_setting_and_no_value(tmp_path: Path) -> None:
    (tmp_path / "MOUNTED").write_text(CANARY)
    row = {"url": "postgresql://${HOST}/r", "password": "${MOUNTED}", "token": "${LOST}"}
    settings = Settings(
        {"secrets_directory": str(tmp_path), "sources": {"my-r": row}},
        origin="dvengine.toml",
        environ={"HOST": CANARY, "DVENGINE_SOURCES__MY_R__USER": CANARY},
    )
    found = settings.origins("sources", "my-r")
    assert found == {
        "url": "dvengine.toml, environment HOST",
        "password": "dvengine.toml, secrets directory file MOUNTED",
        "token": "dvengine.toml, LOST is nowhere",
        "user": "environment DVENGINE_SOURCES__MY_R__USER",
    }
