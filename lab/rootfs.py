# SPDX-License-Identifier: GPL-3.0-or-later
"""The userland: Debian 11 packages installed into a tar archive, not yet dressed as EL7."""

from __future__ import annotations

import inspect
import os
from pathlib import Path

from lab import apt, cache
from lab.progress import logged, output, say

PACKAGES = (
    "busybox-static", "ca-certificates", "cpio", "curl", "dbus", "dnf", "docker.io", "e2fsprogs", "gnupg",
    "grub-pc-bin", "grub2-common", "iproute2", "iptables", "kmod", "lvm2", "mariadb-server", "openssh-server", "procps",
    "python2.7", "python3", "python3-dnf", "python3-rpm", "python3-selinux", "rpm", "strace", "sudo", "systemd",
    "systemd-sysv",
)  # fmt: skip

# as on EL7, /bin, /sbin and /lib are links into /usr
_MERGE_USR = 'for d in bin sbin lib lib64; do mkdir -p "$1/usr/$d"; ln -s "usr/$d" "$1/$d"; done'


def build(suite: apt.Bullseye) -> Path:
    """Return the archive of the installed packages."""
    versions = [f"{name}={version}" for name, version in sorted(suite.candidates(PACKAGES).items())]
    key = cache.key(*versions, inspect.getsource(_install), _MERGE_USR)
    return cache.entry("rootfs", key, lambda target: _install(suite, target), suffix=".tar")


def _install(suite: apt.Bullseye, target: Path) -> None:
    say("installing the userland; about 2 minutes")
    argv = [
        "mmdebstrap", "--mode=root", "--variant=minbase", "--format=tar", "--architectures=amd64",
        f"--keyring={apt.KEYRING}", f"--setup-hook={_MERGE_USR}", f"--include={','.join(PACKAGES)}",
        *(f"--aptopt={option}" for option in _proxies()),
        apt.SUITE, str(target), f"deb {suite.mirror} {apt.SUITE} main",
    ]  # fmt: skip
    log = apt.log("rootfs")
    logged(f"mmdebstrap with {len(PACKAGES)} packages and what they need", apt.as_root(argv, argv), log=log)
    if os.geteuid() != 0:
        own = ["chown", f"{os.getuid()}:{os.getgid()}", str(target)]
        logged("taking over the archive", apt.as_root(own, own), log=log)


def _proxies() -> list[str]:
    """Return the host's apt proxy settings, which mmdebstrap does not take over by itself."""
    lines = output(["apt-config", "dump", "Acquire::http::Proxy", "Acquire::https::Proxy"]).splitlines()
    return [line.rstrip(";") for line in lines if not line.endswith('"";')]
