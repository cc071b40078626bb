# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user sees while the lab works, and how it runs other programs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_STARTED = time.monotonic()
_HEARTBEAT_SECONDS = 30
_TAIL_LINES = 40


class LabError(Exception):
    """Something failed; the text says what happened and what to do next."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def say(message: str) -> None:
    """Print a progress line with the seconds since the program started."""
    print(f"[{time.monotonic() - _STARTED:7.1f} s] {message}", file=sys.stderr, flush=True)


def logged(
    title: str,
    argv: Sequence[str],
    *,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    quiet: bool = False,
) -> None:
    """Run ARGV with its output appended to LOG; show the end of LOG if it fails. QUIET: TITLE goes to LOG only."""
    if not quiet:
        say(title)
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as out:
        out.write(f"\n### {title}\n$ {' '.join(argv)}\n".encode())
        out.flush()
        try:
            process = subprocess.Popen(
                list(argv),
                cwd=cwd,
                env={**os.environ, **env} if env else None,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        except FileNotFoundError as missing:
            raise LabError(f"{argv[0]} is not installed; type: python3 -m lab build") from missing
        try:
            code = _wait(process, title)
        except BaseException:
            process.kill()
            process.wait()
            raise
    if code != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
        raise LabError(f"{tail}\n\n{title}: {argv[0]} ended with exit code {code}; the whole log is {log}")


def _wait(process: subprocess.Popen[bytes], title: str) -> int:
    began = time.monotonic()
    while True:
        try:
            return process.wait(_HEARTBEAT_SECONDS)
        except subprocess.TimeoutExpired:
            say(f"  … {title}: {time.monotonic() - began:.0f} s")


def output(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> str:
    """Return what a short command prints."""
    try:
        done = subprocess.run(
            list(argv),
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **env} if env else None,
        )
    except FileNotFoundError as missing:
        raise LabError(f"{argv[0]} is not installed; type: python3 -m lab build") from missing
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)} ended with exit code {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout
