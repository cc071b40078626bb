# SPDX-License-Identifier: GPL-3.0-or-later
"""The base image: the dressed userland on a disk, booted once to install packages and set up services.

The first boot takes QEMU's own kernel loader; it installs every package of the mirror's base repository,
the kernel among them, writes grub.cfg, makes docker's test image and leaves docker and MariaDB enabled.
After that GRUB boots the disk.
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

from lab import apt, cache, disk, dress, kernel, rootfs, rpms, vm
from lab.progress import LabError, logged, output, say

# A settled boot uses 19 ids, so 17 `docker run --memory` use up the rest.
ID_MAX = 36

_PROVISION = cache.LAB_DIR / "guest/provision.sh"
_FIRST_BOOT = (
    "root=/dev/vda1 rw console=ttyS0 net.ifnames=0 "
    "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1"
)
_PROVISION_SECONDS = 900


def _ssh_key(name: str) -> Path:
    """Return a key pair's private half, made once per cache."""
    path = cache.root() / "ssh" / name
    with cache.lock("ssh"):
        if not path.exists():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            output(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "el7lab", "-f", str(path)])
    return path


def private_key() -> Path:
    """Return the key that logs in to every lab machine."""
    return _ssh_key("id_ed25519")


@functools.cache
def _parts() -> tuple[list[Path], Path]:
    """Return the built kernels and the userland archive; made if missing, looked up once per process."""
    apt.require(apt.BUILD_PACKAGES)
    suite = apt.Bullseye().update()
    return [kernel.build(suite, source) for source in kernel.SOURCES], rootfs.build(suite)


def el7_kernel() -> Path:
    """Return the bootable file of the 3.10 kernel."""
    return _parts()[0][0] / kernel.EL7 / "boot" / f"vmlinuz-{kernel.EL7}"


@functools.cache
def repositories() -> Path:
    """Return the directory of the signed repositories, made first where it is missing."""
    (kernels,) = _parts()[0]
    return rpms.build(kernels)


@functools.cache
def ensure() -> Path:
    """Return the base image, built first where it is missing."""
    archive = _parts()[1]
    keys = [_ssh_key("id_ed25519"), _ssh_key("host_ed25519")]
    made_of = [Path(str(module.__file__)) for module in (dress, disk)]
    public = [key.with_suffix(".pub") for key in keys]
    key = cache.key(repositories().name, archive.name, str(ID_MAX), _FIRST_BOOT, _PROVISION, dress.TREE,
                    *made_of, *public)  # fmt: skip
    return cache.entry("image", key, _build) / "base.qcow2"


def _build(target: Path) -> None:
    archive = _parts()[1]
    log = apt.log("image")
    raw = target.parent / "disk.raw"
    prefix = [] if os.geteuid() == 0 else ["fakeroot", "--"]
    logged(
        "dressing the userland as EL7 and writing the disk",
        [*prefix, sys.executable, "-m", "lab.dress", "--archive", str(archive), "--work", str(target.parent / "tree"),
         "--disk", str(raw), "--public-key", f"{private_key()}.pub", "--host-key", str(_ssh_key("host_ed25519")),
         "--id-max", str(ID_MAX)],
        cwd=cache.LAB_DIR.parent, log=log,
    )  # fmt: skip
    base = target / "base.qcow2"
    logged("converting the disk", ["qemu-img", "convert", "-O", "qcow2", str(raw), str(base)], log=log)
    raw.unlink()
    _provision(base, log)


def _provision(base: Path, log: Path) -> None:
    machine = vm.Vm("provision")
    machine.destroy()
    machine.boot(base, extra=["-kernel", str(el7_kernel()), "-append", _FIRST_BOOT])
    try:
        say(f"first boot: SSH after {machine.wait_ssh():.1f} s; setting up packages and services, about 2 minutes")
        urls = [f"http://mirror.lab/base/{package.name}" for package in sorted((machine.mirror / "base").glob("*.rpm"))]
        done = machine.run(
            ["bash", "-s", kernel.EL7, *urls], check=False, timeout=_PROVISION_SECONDS, stdin=_PROVISION.read_text()
        )
        with open(log, "a", encoding="utf-8") as out:
            out.write(f"\n### provisioning\n{done.stdout}{done.stderr}")
        if done.returncode != 0:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-40:])
            raise LabError(f"{tail}\n\nprovisioning ended with {done.returncode}; the whole log is {log}")
        machine.stop()
    finally:
        machine.kill()
    machine.destroy()
