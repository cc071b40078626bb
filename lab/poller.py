# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at the services of a machine from outside, without Ansible: how long was each one away?"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lab.progress import LabError
from lab.vm import HOST, Vm

EVERY_SECONDS = 0.5
# QEMU accepts every connection at once, also for a guest that is off: only an answer counts
PATIENCE_SECONDS = 2.0


def _greeting(connection: socket.socket) -> bool:
    """MariaDB and sshd speak first; MariaDB also to a client that it turns away."""
    return connection.recv(5) != b""


def _not_502(connection: socket.socket) -> bool:
    """Any answer of a web server is good but that of one whose application is not there yet."""
    connection.sendall(b"GET /-/health HTTP/1.0\r\n\r\n")
    with connection.makefile("rb") as stream:
        words = stream.readline().split()
    return len(words) > 1 and words[1] != b"502"


PROBES: dict[str, Callable[[socket.socket], bool]] = {"ssh": _greeting, "mariadb": _greeting, "gitlab": _not_502}


@dataclass
class Watch:
    """What was seen of one service; times are seconds of time.monotonic()."""

    outages: list[tuple[float, float]] = field(default_factory=list)
    polls: int = 0
    down_since: float | None = None

    def saw(self, up: bool, began: float, ended: float) -> None:
        """Take in one poll: an outage begins with the first that fails, and ends when one has succeeded."""
        self.polls += 1
        if up and self.down_since is not None:
            self.outages.append((self.down_since, ended))
            self.down_since = None
        elif not up and self.down_since is None:
            self.down_since = began

    def end(self, now: float) -> None:
        """Close an outage that lasts."""
        self.saw(True, now, now)

    @property
    def seconds(self) -> float:
        """How long the service was away, all outages together."""
        return sum(end - start for start, end in self.outages)


class Poller:
    """Polls as long as its ``with`` block lasts; then ``watches`` has a Watch per service.

    An outage is known to about a poll's distance, and to PATIENCE_SECONDS where the guest did not answer at all. CALM is the distance
    while all is well: sshd starts a process for each poll, which takes an emulated guest 0.2 s of its processor.
    """

    def __init__(self, vm: Vm, services: Sequence[str] = ("mariadb", "gitlab"), calm: float = EVERY_SECONDS) -> None:
        self._vm, self._calm = vm, calm
        self.watches = {name: Watch() for name in services}
        self._done = threading.Event()
        # one thread each: a service that does not answer must not hold up the others
        self._threads = [threading.Thread(target=self._poll, args=(name,), daemon=True) for name in services]

    def __enter__(self) -> Poller:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()
        for watch in self.watches.values():
            watch.end(time.monotonic())

    def _poll(self, name: str) -> None:
        while not self._done.is_set():
            began = time.monotonic()
            up = self._answers(name)
            self.watches[name].saw(up, began, time.monotonic())
            self._done.wait(max(0.0, began + (self._calm if up else EVERY_SECONDS) - time.monotonic()))

    def _answers(self, name: str) -> bool:
        # ports are asked each time, as a machine that is started anew has others; meanwhile it may have none
        with contextlib.suppress(OSError, ValueError, LabError):
            with socket.create_connection((HOST, self._vm.port_of(name)), timeout=PATIENCE_SECONDS) as connection:
                return PROBES[name](connection)
        return False
