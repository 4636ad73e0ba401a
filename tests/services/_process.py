"""Child processes that never outlive the test run, and free loopback ports."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1


class ServiceMissing(Exception):
    """What a service needs is not installed here; the text says what."""


class ServiceBroken(Exception):
    """The service is installed but did not come up; the text holds the end of its log."""


def free_ports(count: int, *, below: int = 65536) -> list[int]:
    """Return ports that were free a moment ago, all different. The caller retries if somebody was quicker."""
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        while len(ports) < count:
            listener = held.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
            if port < below:
                ports.append(port)
    return ports


def die_with_parent(signum: int) -> Callable[[], None]:
    """Return a ``preexec_fn`` that has the kernel send ``signum`` when the thread that started the child ends.

    So start servers from a main thread. It holds even where the parent is killed outright.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signum)

    return before_exec


class Process:
    """A server's process with its log; `stop` asks nicely first, then does not ask."""

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        environ: Mapping[str, str] | None = None,
        user: tuple[int, int] | None = None,
        cwd: Path | None = None,
        stop_signal: int = signal.SIGTERM,
        orphan_signal: int = signal.SIGKILL,
        pipe_stdin: bool = False,
    ) -> None:
        self.log = log
        self._stop_signal = stop_signal
        drop = {"user": user[0], "group": user[1], "extra_groups": []} if user else {}
        with log.open("ab") as sink:
            self.popen = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.PIPE if pipe_stdin else subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=dict(environ) if environ is not None else None,
                cwd=cwd,
                start_new_session=True,  # Ctrl-C in the terminal is for pytest; it stops us in order
                preexec_fn=die_with_parent(orphan_signal),
                **drop,
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    def wait_until(self, ready: Callable[[], bool], *, name: str, seconds: float = 60) -> None:
        """Poll ``ready`` until it is true; raise with the log's end if the process dies or time runs out."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.popen.poll() is not None:
                raise ServiceBroken(f"{name} ended with {self.popen.returncode}:\n{self.tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServiceBroken(f"{name} was not ready within {seconds:.0f} s:\n{self.tail()}")
            time.sleep(0.05)

    def tail(self, characters: int = 3000) -> str:
        return self.log.read_text("utf-8", "replace")[-characters:] if self.log.exists() else ""

    def kill(self) -> None:
        """End it as a power cut would."""
        self.popen.kill()
        self.popen.wait()

    def stop(self, seconds: float = 10) -> None:
        if self.popen.poll() is None:
            self.popen.send_signal(self._stop_signal)
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        if self.popen.stdin:
            self.popen.stdin.close()
