"""A real Elasticsearch node: jars from Maven, started by forty lines of Java.

The two modules that are not published (the root handler and the Norwegian analyzer) are supplied by `TestModule.java`,
around the same Lucene analyzer. The node has no security and skips the bootstrap checks: fine for tests, and only there.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from services._process import Process, ServiceBroken, ServiceMissing

VERSION = "9.5.3"
SOURCES = Path(__file__).parent / "elasticsearch"
MODULES = {
    "transport-netty4": "org.elasticsearch.transport.netty4.Netty4Plugin",
    "dv-test": "dvtest.TestModule",
}


@dataclass
class Elasticsearch:
    """A running node without log-in, on loopback."""

    url: str
    pid: int

    def fresh_index(self) -> str:
        """Return an index name nobody else uses; nothing is created."""
        return f"t-{uuid.uuid4().hex[:12]}"

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Self]:
        """Run a node of your own, to be killed at will."""
        process = ElasticsearchProcess()
        try:
            yield cls(**process.start())
        finally:
            process.stop()


class ElasticsearchProcess:
    """Owns the node's home and its JVM; ends both. `kill` then `start` again keeps the data and the port."""

    def __init__(self) -> None:
        self.java = _java_home() / "bin" / "java"
        self.built = _built()
        self.home = Path(tempfile.mkdtemp(prefix="dvengine-es-"))
        for empty in ("config", "plugins"):
            (self.home / empty).mkdir()
        (self.home / "modules").symlink_to(self.built / "modules")
        self.port = "0"
        self.process: Process | None = None

    def start(self) -> dict[str, Any]:
        """Start the node, wait until it answers, and return the fields of `Elasticsearch`."""
        log = self.home / "node.log"
        log.unlink(missing_ok=True)
        self.process = Process(
            [
                self.java, "-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                "--enable-native-access=ALL-UNNAMED", f"-Djava.io.tmpdir={self.home}",
                "-cp", f"{self.built}/lib/*:{self.built}/main", "EsTestNode", self.home, self.port, "0",
            ],
            log,
            cwd=self.home,
            pipe_stdin=True,  # the node also ends when this pipe does
        )  # fmt: skip

        def answers() -> bool:
            ready = re.search(r"^READY (\d+)$", self.process.tail(100_000), re.MULTILINE)
            if ready is None:
                return False
            self.port = ready[1]
            url = f"http://127.0.0.1:{self.port}/_cluster/health?wait_for_status=yellow&timeout=20s"
            with urllib.request.urlopen(url, timeout=30) as answer:
                return answer.status == 200

        self.process.wait_until(answers, name="Elasticsearch", seconds=120)
        return {"url": f"http://127.0.0.1:{self.port}", "pid": self.process.pid}

    def kill(self) -> None:
        self.process.kill()

    def stop(self) -> None:
        if self.process:
            self.process.kill()  # nothing is worth flushing
        shutil.rmtree(self.home, ignore_errors=True)


def _java_home() -> Path:
    """Find a JDK >= 21: JDK_HOME, JAVA_HOME, the PATH's javac, then /usr/lib/jvm, newest first."""
    candidates = [os.environ.get("JDK_HOME"), os.environ.get("JAVA_HOME")]
    if javac := shutil.which("javac"):
        candidates.append(str(Path(javac).resolve().parent.parent))
    candidates += [str(path) for path in Path("/usr/lib/jvm").glob("*")]
    known = {
        path: version for path in dict.fromkeys(filter(None, candidates)) if (version := _jdk_version(path))
    }
    usable = [path for path, version in known.items() if version >= 21]
    if not usable:
        seen = ", ".join(sorted({str(version) for version in known.values()})) or "none"
        raise ServiceMissing(
            f"Elasticsearch {VERSION} needs a JDK >= 21 (found: {seen}); set JDK_HOME, or apt-get install openjdk-21-jdk-headless"
        )
    return Path(usable[0])


def _jdk_version(home: str) -> int | None:
    if not Path(home, "bin", "javac").exists():
        return None
    release = Path(home, "release")
    text = release.read_text("utf-8", "replace") if release.exists() else ""
    found = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', text, re.MULTILINE)
    return int(found[1]) if found else None


def _cache() -> Path:
    return Path(os.environ.get("DVENGINE_TEST_CACHE") or Path("~/.cache/dvengine-test").expanduser())


def _built() -> Path:
    """Return the node's folder, built once a version under a lock and renamed when complete."""
    target = _cache() / f"elasticsearch-{VERSION}"
    wanted = hashlib.sha256(
        b"".join(p.read_bytes() for p in sorted(SOURCES.iterdir()) if p.is_file())
    ).hexdigest()
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f"{target.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = target / "complete"
        if complete.exists() and complete.read_text() == wanted:
            return target
        with tempfile.TemporaryDirectory(prefix=f".elasticsearch-{VERSION}-", dir=target.parent) as folder:
            unfinished = Path(folder) / "built"
            _build(unfinished)
            (unfinished / "complete").write_text(wanted)
            if target.exists():  # of other sources, or half removed
                target.rename(Path(folder) / "old")
            unfinished.rename(target)
        return target


def _build(folder: Path) -> None:
    home, maven = _java_home(), shutil.which("mvn")
    if maven is None:
        raise ServiceMissing(
            "Elasticsearch is fetched with Maven, which is not installed (apt-get install maven)"
        )
    lib = folder / "lib"
    environ = {**os.environ, "JAVA_HOME": str(home)}
    fetch = [maven, "-B", "-q", "-ntp", "-f", SOURCES / "pom.xml", "dependency:copy-dependencies", f"-DoutputDirectory={lib}"]  # fmt: skip
    for attempt in range(3):
        # -U from the second try on: Maven remembers a miss for a day.
        done = _call(fetch if attempt == 0 else [*fetch, "-U"], environ, seconds=240)
        if done is None:
            break
        time.sleep(2 * (attempt + 1))
    else:
        raise ServiceBroken(f"Maven could not fetch Elasticsearch {VERSION}:\n{done}")
    for source, out in (("EsTestNode", "main"), ("TestModule", "module")):
        _must(
            [home / "bin" / "javac", "-cp", f"{lib}/*", "-d", folder / out, SOURCES / f"{source}.java"],
            environ,
        )
    for name, main_class in MODULES.items():
        module = folder / "modules" / name
        module.mkdir(parents=True)
        (module / "plugin-descriptor.properties").write_text(
            f"name={name}\ndescription={name}\nversion={VERSION}\nelasticsearch.version={VERSION}\n"
            f"java.version=21\nclassname={main_class}\n"
        )
    for jar in [*lib.glob("netty-*.jar"), *lib.glob("transport-netty4-*.jar")]:
        jar.rename(folder / "modules" / "transport-netty4" / jar.name)
    _must(
        [home / "bin" / "jar", "-cf", folder / "modules/dv-test/dv-test.jar", "-C", folder / "module", "."],
        environ,
    )


def _call(command: list[Any], environ: dict[str, str], *, seconds: float) -> str | None:
    """Run a command; None is success, text is what it said."""
    try:
        done = subprocess.run(
            [str(part) for part in command], env=environ, capture_output=True, text=True, timeout=seconds, check=False
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no end within {seconds:.0f} s"
    return None if done.returncode == 0 else (done.stdout + done.stderr)[-3000:]


def _must(command: list[Any], environ: dict[str, str]) -> None:
    said = _call(command, environ, seconds=120)
    if said is not None:
        raise ServiceBroken(f"{Path(command[0]).name} failed:\n{said}")
