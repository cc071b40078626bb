# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's tools (ansible-core, pytest, linters) in one virtual environment.

It lies in the cache, keyed by the lock file and the Python that made it, so that a second run
starts at once and a changed lock never meets an old environment. pip checks every download
against the sha256 in requirements.lock.
"""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

REPO = pathlib.Path(__file__).resolve().parent.parent
LOCK = REPO / "requirements.lock"


def cache_dir():
    """Where everything that outlives a clone is kept."""
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(os.environ.get("EL7OPS_CACHE") or pathlib.Path(base) / "el7ops-kmem")


def ensure():
    """Return the bin directory of the environment, made first where it is missing."""
    key = hashlib.sha256(LOCK.read_bytes() + sys.version.encode() + sys.executable.encode())
    home = cache_dir() / ("venv-" + key.hexdigest()[:16])
    ready = home / "ready"
    if not ready.exists():
        print(f"venv | Installing the locked tools into {home}", file=sys.stderr, flush=True)
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run(
            [str(home / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check",
             "--require-hashes", "--only-binary", ":all:", "-r", str(LOCK)],
            check=True,
        )
        subprocess.run([str(home / "bin" / "pip"), "check", "--quiet"], check=True)
        ready.touch()
    return home / "bin"


if __name__ == "__main__":
    print(ensure())
