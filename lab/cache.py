# SPDX-License-Identifier: GPL-3.0-or-later
"""The cache: where everything expensive lives, keyed by what it was made from.

An entry is built in a temporary directory beside its final place and renamed when it is
complete, so an entry that exists is whole.  A file lock per kind of entry keeps two builds
from doing the same work twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from lab.progress import say

LAB_DIR = Path(__file__).resolve().parent


def root() -> Path:
    """Return the cache directory, made if missing."""
    named = os.environ.get("EL7OPS_CACHE")
    if named:
        path = Path(named).expanduser()
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        path = Path(base).expanduser() / "el7ops-kmem"
    path.mkdir(parents=True, exist_ok=True)
    return path.resolve()


def key(*parts: str | bytes | Path) -> str:
    """Return a short content hash; a Path stands for its content (a directory: all files in it)."""
    digest = hashlib.sha256()
    for part in parts:
        for chunk in _content(part):
            digest.update(len(chunk).to_bytes(8, "big"))
            digest.update(chunk)
    return digest.hexdigest()[:12]


def _content(part: str | bytes | Path) -> Iterator[bytes]:
    if isinstance(part, Path):
        files = sorted(p for p in part.rglob("*") if p.is_file()) if part.is_dir() else [part]
        for file in files:
            yield f"{file.relative_to(part.parent)} {file.stat().st_mode & 0o100}".encode()
            yield file.read_bytes()
    else:
        yield part.encode() if isinstance(part, str) else part


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold the lock called NAME; say so when another process has it."""
    directory = root() / "locks"
    directory.mkdir(exist_ok=True)
    with open(directory / name, "w", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that builds {name}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def entry(kind: str, key_: str, build: Callable[[Path], None], suffix: str = "") -> Path:
    """Return the path of ``<kind>-<key><suffix>``; BUILD fills the path it is given if it is missing.

    With a suffix the entry is a file, else a directory.
    """
    final = root() / f"{kind}-{key_}{suffix}"
    if final.exists():
        return final
    with lock(kind):
        if final.exists():
            return final
        scratch = Path(tempfile.mkdtemp(prefix=f"tmp-{kind}-", dir=root()))
        scratch.chmod(0o755)
        try:
            target = scratch / final.name
            if not suffix:
                target.mkdir()
            build(target)
            target.rename(final)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return final
