# SPDX-License-Identifier: GPL-3.0-or-later
"""A CPython 2.7 for the unit tests, without a virtual machine.

Debian 11's interpreter is unpacked into the cache.  Its extension modules get an absolute
RUNPATH to the libraries that came along, so no wrapper and no LD_LIBRARY_PATH is needed and
the interpreter also works inside a virtualenv.  Debian switches ``ensurepip`` off; a small one
that installs the wheels named in ``wheels.txt`` takes its place.

Use: put the directory of the printed path first on PATH; ``ansible-test units --python 2.7``
then finds ``python2.7`` and makes its virtualenv with the virtualenv 16 installed there.
``python2.7 -m pip``, ``-m virtualenv`` and ``-m ensurepip`` work offline.
"""

from __future__ import annotations

import inspect
import shutil
import sys
import zipfile
from pathlib import Path

from lab import apt, cache
from lab.progress import LabError, logged, output

_HERE = Path(__file__).resolve().parent
_PACKAGES = (
    "python2.7", "python2.7-minimal", "libpython2.7-minimal", "libpython2.7-stdlib", "libssl1.1", "libffi7",
    "libbz2-1.0", "libexpat1", "zlib1g", "libncursesw6", "libtinfo6", "libreadline8", "libsqlite3-0", "libcrypt1",
)  # fmt: skip
_LIBRARIES = "lib/x86_64-linux-gnu"
_SELF_TEST = "import bz2, crypt, ctypes, curses, hashlib, json, readline, sqlite3, ssl, zlib, pyexpat; import pip"


def ensure() -> Path:
    """Return the path of a working python2.7, made first where it is missing."""
    apt.require(apt.PYTHON27_PACKAGES)
    suite = apt.Bullseye().update()
    versions = [f"{name}={version}" for name, version in sorted(suite.candidates(_PACKAGES).items())]
    inputs = [_HERE / name for name in ("wheels.txt", "ensurepip.py")]
    # the RUNPATH is absolute, so the place is a part of what the entry is made from
    key = cache.key(str(cache.root()), *versions, *inputs, inspect.getsource(_build))
    final = cache.root() / f"python27-{key}"
    return cache.entry("python27", key, lambda target: _build(suite, target, final)) / "usr/bin/python2.7"


def _build(suite: apt.Bullseye, target: Path, final: Path) -> None:
    log = apt.log("python27")
    suite.unpack(_PACKAGES, target)
    usr = target / "usr"
    shutil.copytree(target / _LIBRARIES, usr / _LIBRARIES, symlinks=True, dirs_exist_ok=True)
    shutil.rmtree(target / "lib")
    library = usr / "lib/python2.7"
    (library / "sitecustomize.py").unlink()  # a link to the host's /etc

    files = [*(usr / _LIBRARIES).glob("*.so*"), *(library / "lib-dynload").glob("*.so"), usr / "bin/python2.7"]
    objects = [str(path) for path in files if not path.is_symlink()]
    runpath = ["patchelf", "--set-rpath", f"{final}/usr/{_LIBRARIES}", *objects]
    logged("pointing python2.7 at its libraries", runpath, log=log)

    bundled = library / "ensurepip/_bundled"
    shutil.rmtree(library / "ensurepip")
    bundled.mkdir(parents=True)
    shutil.copyfile(_HERE / "ensurepip.py", library / "ensurepip/__init__.py")
    (library / "ensurepip/__main__.py").write_text("import ensurepip\nensurepip.bootstrap()\n")
    _download_wheels(bundled, log)
    for wheel in bundled.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(library / "dist-packages")
    # the libraries are not at their final place yet
    test = ["env", f"LD_LIBRARY_PATH={usr / _LIBRARIES}", str(usr / "bin/python2.7"), "-B", "-c", _SELF_TEST]
    logged("trying python2.7", test, log=log)


def _download_wheels(directory: Path, log: Path) -> None:
    pip = [sys.executable, "-m", "pip"]
    try:
        output([*pip, "--version"])
    except LabError as error:
        raise LabError(f"{error}\n{sys.executable} has no pip; type: apt-get install python3-pip") from error
    logged(
        "downloading pip, setuptools, wheel and virtualenv for Python 2.7",
        [*pip, "download", "--no-deps", "--only-binary", ":all:", "--python-version", "2.7", "--implementation", "py",
         "--abi", "none", "--platform", "any", "--require-hashes",
         "-r", str(_HERE / "wheels.txt"), "-d", str(directory)],
        log=log,
        env={"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )  # fmt: skip
