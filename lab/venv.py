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
    # the same answer from inside the environment, where pytest runs, as from outside
    key = hashlib.sha256(LOCK.read_bytes() + sys.version.encode() + sys.base_prefix.encode())
    home = cache_dir() / ("venv-" + key.hexdigest()[:16])
    ready = home / "ready"
    if not ready.exists():
        print(f"venv | Installing the locked tools into {home}", file=sys.stderr, flush=True)
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys._base_executable, "-m", "venv", str(home)], check=True)
        subprocess.run(
            [str(home / "bin" / "pip"), "install", "-qq", "--disable-pip-version-check",
             "--require-hashes", "--only-binary", ":all:", "-r", str(LOCK)],
            check=True,
        )
        subprocess.run([str(home / "bin" / "pip"), "check", "--quiet"], check=True)
        ready.touch()
    return home / "bin"


def environment(collections):
    """What Ansible runs with: the locked tools first, a private Ansible home, nothing from the user's own set-up."""
    home = cache_dir() / "home"
    home.mkdir(parents=True, exist_ok=True)
    (home / "ansible.cfg").touch()
    keep = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "EL7OPS_", "CI"))}
    return dict(
        keep,
        EL7OPS_CACHE=str(cache_dir()),
        PATH=os.pathsep.join([str(ensure()), "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]),
        HOME=str(home),
        LANG="C.UTF-8",
        LC_ALL="C.UTF-8",
        ANSIBLE_COLLECTIONS_PATH=str(collections),
        ANSIBLE_HOME=str(home / ".ansible"),
        ANSIBLE_CONFIG=str(home / "ansible.cfg"),
        ANSIBLE_NOCOLOR="1",
        ANSIBLE_PIPELINING="1",
        ANSIBLE_HOST_KEY_CHECKING="0",
        ANSIBLE_CALLBACK_RESULT_FORMAT="yaml",
    )


if __name__ == "__main__":
    print(ensure())
