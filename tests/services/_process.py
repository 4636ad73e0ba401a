"""Child processes that never outlive the test run, and free loopback ports."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


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


# Run between our fork and the server: the kernel will send the signal when the thread that forked ends, however it ends.
# So start servers from a main thread. (A preexec_fn would do the same, but is unsafe beside threads.)
_LAUNCHER = """
import ctypes, os, sys
orphan_signal, parent, uid, gid = map(int, sys.argv[1:5])
if uid >= 0:
    os.setgroups([]); os.setgid(gid); os.setuid(uid)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, orphan_signal)  # PR_SET_PDEATHSIG
if os.getppid() == parent:
    os.execv(sys.argv[5], sys.argv[5:])
"""


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
        uid, gid = user or (-1, -1)
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, orphan_signal, os.getpid(), uid, gid]
        with log.open("ab") as sink:
            self.popen = subprocess.Popen(
                [str(part) for part in [*launcher, *command]],
                stdin=subprocess.PIPE if pipe_stdin else subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=dict(environ) if environ is not None else None,
                cwd=cwd,
                start_new_session=True,  # Ctrl-C in the terminal is for pytest; it stops us in order
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
