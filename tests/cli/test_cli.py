"""The command line: one JSON document, honest exit codes, nothing secret, help that shows an example."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from dvengine import _errors
from dvengine.cli._commands import _params
from dvengine.cli._main import main
from dvengine.cli._output import Exit, Output, exit_code

COMMANDS = [["extract"], ["publish"], ["verify"], ["catalog", "build"], ["search"], ["doctor"], ["demo"]]


def run(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dvengine", *words],
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
        check=False,
    )


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_of_every_command_shows_an_example_and_json(words, capsys):
    assert main([*words, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Example: dvengine {' '.join(words)}" in text
    assert "--json" in text


def test_help_says_what_exit_codes_mean(capsys):
    assert main(["--help"]) == 0
    assert "Exit codes" in capsys.readouterr().out


def test_help_is_instant_because_it_loads_no_data_library():
    code = "import sys; from dvengine.cli._main import main; main(['--help']); print(sorted({'polars','pyarrow','pandas','duckdb','rich.console'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["extract", "nowhere", "--table", "t", "--out", "x/"], "ConfigError"),
        (["extract", "carrier-pigeon://x/y", "--table", "t", "--out", "x/"], "ConfigError"),
        (["publish", "no-such.toml", "--to", "x/"], "NotFound"),
        (["verify", "./no-such-package"], "NotFound"),
        (["extract"], "InputError"),
        (["no-such-command"], "InputError"),
        (["extract", "a", "--out", "x/", "--table", "t", "--param", "aar"], "InputError"),
    ],
)
def test_bad_input_exits_1_with_one_json_error_and_a_hint(words, kind, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*words, "--json"]) == Exit.REFUSED
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["v"] == 1
    assert document["ok"] is False
    assert document["error"]["kind"] == kind
    assert document["error"]["hint"]
    assert list(tmp_path.iterdir()) == []


def test_every_error_class_has_the_exit_code_of_its_reaction():
    expected = {
        "Unavailable": 3, "VerificationFailed": 4, "Incomplete": 4, "Cancelled": 130,
    }  # fmt: skip
    for name in _errors.__all__:
        error = getattr(_errors, name)("something happened")
        assert exit_code(error) == expected.get(name, 1), name
    assert exit_code(KeyboardInterrupt()) == 130
    assert exit_code(ZeroDivisionError()) == 2


@pytest.mark.slow
def test_a_server_that_is_down_exits_3_and_never_shows_the_password(tmp_path):
    done = run(
        "extract",
        "postgresql://ola:hunter2canary@127.0.0.1:1/db",
        "--table",
        "t",
        "--out",
        str(tmp_path / "x"),
        "--json",
    )
    assert done.returncode == Exit.UNAVAILABLE
    assert json.loads(done.stdout)["error"]["retryable"] is True
    assert "hunter2canary" not in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_bug_exits_2_and_its_text_stays_inside(monkeypatch, capsys):
    import dvengine as dv

    def broken(*_, **__):
        raise RuntimeError("value 01010012345 in row 7")

    monkeypatch.setattr(dv, "verify", broken, raising=False)
    assert main(["verify", "x", "--json"]) == Exit.BUG
    captured = capsys.readouterr()
    assert "01010012345" not in captured.out + captured.err
    assert json.loads(captured.out)["error"]["kind"] == "RuntimeError"


def test_doctor_shows_where_things_come_from_and_no_secret(tmp_path, monkeypatch, capsys):
    settings = tmp_path / "s.toml"
    settings.write_text(
        '[sources.registry]\nurl = "postgresql://ola@127.0.0.1:1/db"\npassword = "canary-secret"\n'
        f'[stores.here]\nurl = "{(tmp_path / "new" / "store").as_uri()}"\n'
        '[keys.there]\nsecret = "${DOCTOR_KEY}"\n[keys.lost]\nsecret = "${DOCTOR_LOST}"\n'
    )
    monkeypatch.setenv("DOCTOR_KEY", "canary-secret")
    monkeypatch.setenv("DVENGINE_SETTINGS", str(settings))
    assert main(["doctor", "--json"]) == Exit.UNAVAILABLE
    text = capsys.readouterr().out
    checks = {(row["kind"], row["name"]): row for row in json.loads(text)["checks"]}
    assert checks["sources", "registry"]["ok"] is False
    assert checks["sources", "registry"]["from"] == "url: s.toml; password: s.toml"
    assert checks["stores", "here"]["ok"] is True
    assert not (tmp_path / "new").exists()
    assert (checks["keys", "there"]["ok"], checks["keys", "there"]["from"]) == (
        True, "secret: s.toml, environment DOCTOR_KEY",
    )  # fmt: skip
    assert checks["keys", "lost"]["ok"] is False
    assert "DOCTOR_LOST" in checks["keys", "lost"]["facts"]
    assert "canary-secret" not in text


def test_params_keep_leading_zeros_as_text():
    assert _params(["aar=2025", "kommune=0301", "n=-3", "empty="]) == {
        "aar": 2025,
        "kommune": "0301",
        "n": -3,
        "empty": "",
    }


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_exits_130_in_one_line(stop):
    code = "import time, dvengine as dv; dv.__dict__['verify'] = lambda *a, **k: time.sleep(60); import dvengine.cli._main as m; print('up', flush=True); m.run()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "verify", "x"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    time.sleep(0.5)
    process.send_signal(stop)
    _, err = process.communicate(timeout=10)
    assert process.returncode == Exit.INTERRUPTED
    assert "Traceback" not in err
    assert "interrupted" in err


def test_closed_pipe_is_not_an_error():
    done = subprocess.run(
        f"{sys.executable} -m dvengine --help | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


@pytest.mark.parametrize("words", [[], ["catalog"]], ids=["dvengine", "catalog"])
def test_no_command_shows_the_help_and_speaks_of_no_error(words, capsys):
    assert main(words) == Exit.REFUSED
    captured = capsys.readouterr()
    assert "Usage: dvengine" in captured.out
    assert "error" not in captured.out + captured.err


def test_version_is_told(capsys):
    import dvengine as dv

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"dvengine {dv.__version__}\n"


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        ("overwrite=True replaces it", "--overwrite replaces it"),
        ("or override with reason='…', which is shown", 'or override with --reason "…", which is shown'),
        ('for a whole table: table="person"', "for a whole table: --table person"),
        ('table = "person", or query = "person.sql"', 'table = "person", or query = "person.sql"'),
    ],
)
def test_hints_speak_of_options(hint, shown, capsys):
    Output(as_json=True).error(_errors.InputError("no", hint=hint))
    assert json.loads(capsys.readouterr().out)["error"]["hint"] == shown


def test_extract_replaces_only_when_told_to(tmp_path, monkeypatch, capsys):
    import pyarrow as pa

    import dvengine as dv

    monkeypatch.setattr(dv, "read_sql", lambda *_, **__: dv.dataset(pa.table({"n": [1]})), raising=False)
    words = [
        "extract",
        "r",
        "--table",
        "t",
        "--out",
        str(tmp_path / "t.parquet"),
        "--json",
        "--progress",
        "none",
    ]
    assert main(words) == 0
    capsys.readouterr()
    assert main(words) == Exit.REFUSED
    assert json.loads(capsys.readouterr().out)["error"]["hint"].startswith("--overwrite")
    assert main([*words, "--overwrite"]) == 0
