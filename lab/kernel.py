# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab kernels: Debian's kernel source under EL7's version strings.

Each row of ``SOURCES`` is one source tree that is compiled once; every release in it after the
first costs a relink only.  An entry of the cache holds one directory per release, laid out as
on an installed host (``boot/vmlinuz-<release>``, ``lib/modules/<release>`` …), so that it can
be copied into an image or packed as an RPM.
"""

from __future__ import annotations

import inspect
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from lab import apt, cache
from lab.progress import logged, say

CONFIG_DIR = cache.LAB_DIR / "kernel"

EL7 = "3.10.0-1127.el7.x86_64"  # of CentOS 7.8, on the base image
EL7_UPDATE = "3.10.0-1160.119.1.el7.x86_64"  # the last one of CentOS 7
KERNEL_LT = "5.4.278-1.el7.elrepo.x86_64"
KERNEL_ML = "6.9.7-1.el7.elrepo.x86_64"


@dataclass(frozen=True)
class Source:
    """One kernel source package and what is built from it."""

    package: str
    config: str
    patches: tuple[str, ...]
    releases: tuple[str, ...]


SOURCES = (
    Source("linux-source-5.10", "lab.config", ("el7-kmem.patch",), (EL7, EL7_UPDATE, KERNEL_LT, KERNEL_ML)),
)


def build(suite: apt.Bullseye, source: Source) -> Path:
    """Return the directory that holds a built tree per release."""
    version = suite.candidates([source.package])[source.package]
    inputs = [CONFIG_DIR / name for name in (source.config, *source.patches)]
    key = cache.key(source.package, version, *source.releases, *inputs, inspect.getsource(_compile))
    return cache.entry("kernel", key, lambda target: _fetch_and_compile(suite, source, version, target))


def _fetch_and_compile(suite: apt.Bullseye, source: Source, version: str, target: Path) -> None:
    say(f"building {len(source.releases)} kernels from {source.package} {version}; about 6 minutes on 2 cores")
    log = apt.log(f"kernel-{source.package}")
    work = target.parent / "work"
    suite.unpack([source.package], work)
    archive = work / "usr/src" / f"{source.package}.tar.xz"
    logged("unpacking the kernel source", ["tar", "-xf", str(archive), "-C", str(work)], log=log)
    _compile(source, work / source.package, target, log)
    shutil.rmtree(work)


def _compile(source: Source, tree: Path, target: Path, log: Path) -> None:
    make = ["make", f"-j{os.cpu_count()}", "KBUILD_BUILD_USER=mockbuild", "KBUILD_BUILD_HOST=lab"]
    for patch in source.patches:
        logged(f"patching: {patch}", ["patch", "-p1", "-i", str(CONFIG_DIR / patch)], cwd=tree, log=log)
    merge = ["scripts/kconfig/merge_config.sh", "-m", ".config", str(CONFIG_DIR / source.config)]
    for step in ([*make, "tinyconfig"], merge, [*make, "olddefconfig"]):
        logged("configuring the kernel", step, cwd=tree, log=log)
    for release in source.releases:
        root = target / release
        (root / "boot").mkdir(parents=True)
        named = [*make, f"KERNELRELEASE={release}"]
        logged(f"compiling {release}", [*named, "bzImage", "modules"], cwd=tree, log=log)
        install = [*named, f"INSTALL_MOD_PATH={root}", "modules_install"]
        logged(f"installing the modules of {release}", install, cwd=tree, log=log)
        for file, name in (("arch/x86/boot/bzImage", "vmlinuz"), (".config", "config"), ("System.map", "System.map")):
            shutil.copyfile(tree / file, root / "boot" / f"{name}-{release}")
        for link in ("build", "source"):
            (root / "lib/modules" / release / link).unlink(missing_ok=True)
