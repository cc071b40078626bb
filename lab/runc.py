# SPDX-License-Identifier: GPL-3.0-or-later
"""A runc that does not touch kernel memory, for the third remedy: built from Debian 11's own source of runc.

It is the source of the runc that the guest has (1.0.0~rc93), compiled by Debian 11's Go with the build tag ``nokmem`` and
linked statically, as a file that a host gets from ``http://mirror.lab/runc/``. Its strings and its linkage are checked here.
"""

from __future__ import annotations

import hashlib
import inspect
import shutil
import subprocess
from pathlib import Path

from lab import apt, cache
from lab.progress import LabError, logged, output, say
from lab.vm import Vm

# the second is needed to build it and not to use it as a library, so the first does not depend on it
SOURCES = ("golang-github-opencontainers-runc-dev", "golang-github-cpuguy83-go-md2man-v2-dev")
GO = ("golang-1.15-go", "golang-1.15-src")
SECCOMP = ("libseccomp-dev",)
PACKAGE = "github.com/opencontainers/runc"
TAGS = "nokmem seccomp apparmor selinux netgo osusergo"
NAME = "runc.amd64"
# the first only a build with the tag has, the second only one without
WANTED = b"kernel memory accounting disabled in this runc build"
UNWANTED = b"because either tasks have already joined this cgroup or it has children"


def ensure() -> Path:
    """Return the directory with the binary, built first where it is missing."""
    apt.require(("debian-archive-keyring", "gcc", "libc6-dev"))
    suite = apt.Bullseye().update()
    names = [*GO, *SECCOMP, *_sources()]
    versions = [f"{name}={version}" for name, version in sorted(suite.candidates(names).items())]
    key = cache.key(*versions, inspect.getsource(_build), TAGS)
    return cache.entry("runc", key, lambda target: _build(suite, names, target))


def serve(vm: Vm) -> tuple[str, str]:
    """Put it on the mirror of a guest; return its address there and its sha256."""
    binary = ensure() / NAME
    folder = vm.mirror / "runc"
    folder.mkdir(exist_ok=True)
    shutil.copyfile(binary, folder / NAME)
    return f"http://mirror.lab/runc/{NAME}", hashlib.sha256(binary.read_bytes()).hexdigest()


def _sources() -> list[str]:
    """The packages of Go source that runc's needs, itself among them."""
    argv = ["apt-cache", "depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks",
            "--no-replaces", "--no-enhances", *SOURCES]  # fmt: skip
    lines = output(argv, env={"APT_CONFIG": str(cache.root() / "apt" / apt.SUITE / "apt.conf"), "LC_ALL": "C"}).splitlines()
    return sorted({line for line in lines if line.startswith("golang-") and line.endswith("-dev")})


def _build(suite: apt.Bullseye, names: list[str], target: Path) -> None:
    say("building runc from Debian's source with the tag nokmem; about half a minute on 2 cores")
    log = apt.log("runc")
    work = target.parent / "work"
    suite.unpack(names, work)
    binary = target / NAME
    libraries = work / "usr/lib/x86_64-linux-gnu"
    env = {
        "GOROOT": str(work / "usr/lib/go-1.15"), "GOPATH": str(work / "usr/share/gocode"), "GO111MODULE": "off",
        "GOCACHE": str(target.parent / "gocache"), "GOFLAGS": "", "CGO_ENABLED": "1", "PKG_CONFIG": "true",
        "CGO_CFLAGS": f"-O2 -I{work}/usr/include", "CGO_LDFLAGS": f"-L{libraries} -lseccomp",
    }  # fmt: skip
    argv = [str(work / "usr/lib/go-1.15/bin/go"), "build", "-tags", TAGS, "-o", str(binary), "-ldflags",
            "-w -extldflags -static -X main.version=1.0.0-rc93-nokmem", PACKAGE]  # fmt: skip
    logged("compiling runc", argv, log=log, env=env, cwd=work)
    _prove(binary)
    shutil.rmtree(work)


def _prove(binary: Path) -> None:
    content = binary.read_bytes()
    if WANTED not in content or UNWANTED in content:
        raise LabError(f"{binary} was not built with the tag nokmem, by its strings")
    if b"ld-linux" in content[:4096]:
        raise LabError(f"{binary} is linked dynamically")
    said = subprocess.run([str(binary), "--version"], check=False, capture_output=True, text=True)
    if said.returncode or "nokmem" not in said.stdout:
        raise LabError(f"{binary} does not run: {said.stdout}{said.stderr}")
