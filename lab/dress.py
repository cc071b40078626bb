# SPDX-License-Identifier: GPL-3.0-or-later
"""Dresses an unpacked Debian 11 tree as an EL7 host and makes a disk of it.

Runs as a program of its own, ``python3 -m lab.dress``, as root or under fakeroot, so that the
files on the disk belong to root although an ordinary user may build it.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from pathlib import Path

from lab import disk
from lab.cache import LAB_DIR
from lab.progress import LabError

MACHINE_ID = "0123456789abcdef0123456789abcdef"
TREE = LAB_DIR / "guest/tree"

# path below the root: what it points at
LINKS = {
    "boot/grub": "grub2",  # without it grub2-set-default answers 0 and has written nothing
    "etc/grub2.cfg": "../boot/grub2/grub.cfg",
    "etc/motd": "STAND-IN",
    "etc/redhat-release": "centos-release",
    "etc/sysconfig/grub": "../default/grub",
    "etc/sysctl.d/50-pid-max.conf": "/dev/null",
    "etc/system-release": "centos-release",
    "etc/systemd/system/local-fs.target.wants/lab-lvm.service": "../lab-lvm.service",
    "etc/systemd/system/multi-user.target.wants/lab-net.service": "../lab-net.service",
    "etc/yum.conf": "dnf/dnf.conf",
    "usr/bin/python": "python2",
    "usr/bin/python2": "python2.7",
    "usr/bin/runc": "../sbin/runc",
    "usr/bin/yum": "dnf-3",
    "usr/lib/systemd/system/sshd.service": "ssh.service",
}
# each takes an emulated guest a part of every boot, and nothing here needs it
MASKED = (
    "apt-daily-upgrade.timer", "apt-daily.timer", "blk-availability.service", "dev-hugepages.mount", "dev-mqueue.mount", "dm-event.socket",
    "dnf-makecache.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer", "getty@tty1.service", "kmod-static-nodes.service",
    "logrotate.timer", "lvm2-lvmpolld.socket", "lvm2-monitor.service", "man-db.timer", "modprobe@configfs.service", "modprobe@drm.service",
    "modprobe@fuse.service", "rsyslog.service", "serial-getty@ttyS0.service", "sys-fs-fuse-connections.mount", "sys-kernel-config.mount",
    "systemd-hwdb-update.service", "systemd-networkd-wait-online.service", "systemd-random-seed.service", "systemd-sysusers.service",
    "systemd-timesyncd.service", "systemd-update-utmp-runlevel.service", "systemd-update-utmp.service",
)  # fmt: skip
REMOVED = (
    "boot/grub", "etc/debian_version", "etc/dpkg/origins/default", "etc/grub.d/05_debian_theme",
    "etc/grub.d/20_linux_xen", "etc/grub.d/30_os-prober", "etc/grub.d/30_uefi-firmware", "etc/issue",
    "etc/issue.net", "etc/kernel/postinst.d", "etc/kernel/postrm.d", "etc/os-release",
)  # fmt: skip
DIRECTORIES = (
    "boot/grub2", "etc/pki/rpm-gpg", "etc/sysconfig", "etc/yum.repos.d", "etc/yum", "var/log/journal",
)  # fmt: skip
GRUB_TOOLS = ("mkconfig", "reboot", "set-default", "install", "probe", "editenv", "mkimage", "script-check", "file")


def dress(root: Path, public_key: str, host_key: Path, id_max: int) -> None:
    """Turn the Debian tree ROOT into the stand-in of an EL7 host, without kernels."""
    for name in REMOVED:
        path = root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for name in DIRECTORIES:
        (root / name).mkdir(parents=True, exist_ok=True)
    shutil.copytree(TREE, root, symlinks=True, dirs_exist_ok=True, copy_function=_copy_own_mode)
    (root / "etc/machine-id").write_text(MACHINE_ID + "\n")
    lab_grub = root / "etc/default/grub.d/99-lab.cfg"
    lab_grub.write_text(lab_grub.read_text().replace("@ID_MAX@", str(id_max)))
    for name, points_at in LINKS.items():
        _link(root / name, points_at)
    for unit in MASKED:
        _link(root / "etc/systemd/system" / unit, "/dev/null")
    for tool in GRUB_TOOLS:
        found = [d for d in ("usr/sbin", "usr/bin") if (root / d / f"grub-{tool}").exists()]
        if not found:
            raise LabError(f"the userland has no grub-{tool}")
        _link(root / found[0] / f"grub2-{tool}", f"grub-{tool}")
    _el7_menu_titles(root / "etc/grub.d/10_linux")
    _users(root, public_key)
    for old in (root / "etc/ssh").glob("ssh_host_*"):
        old.unlink()
    for suffix, mode in (("", 0o600), (".pub", 0o644)):
        target = root / f"etc/ssh/ssh_host_ed25519_key{suffix}"
        shutil.copyfile(f"{host_key}{suffix}", target)
        target.chmod(mode)


def _copy_own_mode(source: str, target: str) -> str:
    """Copy a file of the tree with a mode that does not depend on the umask of the clone."""
    shutil.copyfile(source, target)
    Path(target).chmod(0o755 if Path(source).stat().st_mode & 0o100 else 0o644)
    return target


def _link(path: Path, points_at: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(points_at)


def _el7_menu_titles(script: Path) -> None:
    """Make grub-mkconfig write ``CentOS Linux (<release>) 7 (Core)``."""
    text = script.read_text()
    text, titles = re.subn(
        r'title="\$\(gettext_printf "%s, with Linux %s" "\$\{os\}" "\$\{version\}"\)"',
        'title="$(. /etc/os-release; echo "$NAME (${version}) $VERSION")"',
        text,
    )
    text, names = re.subn(r'OS="\$\{GRUB_DISTRIBUTOR\} GNU/Linux"', 'OS="${GRUB_DISTRIBUTOR}"', text)
    if titles != 1 or names != 1:
        raise LabError(f"{script} is not the grub-mkconfig script that the lab knows")
    script.write_text(text)


def _users(root: Path, public_key: str) -> None:
    """Let root and an unprivileged user ``ops`` log in with the cache's key; nobody has a password."""
    for file, line in (
        ("passwd", "ops:x:1000:1000:unprivileged lab user:/home/ops:/bin/bash"),
        ("group", "ops:x:1000:"),
        ("shadow", "ops:*:18000:0:99999:7:::"),
    ):
        path = root / "etc" / file
        path.write_text(f"{path.read_text()}{line}\n")
    for home, owner in (("root", 0), ("home/ops", 1000)):
        ssh = root / home / ".ssh"
        ssh.mkdir(parents=True)
        keys = ssh / "authorized_keys"
        keys.write_text(public_key)
        for path, mode in ((keys, 0o600), (ssh, 0o700), (root / home, 0o700)):
            path.chmod(mode)
            shutil.chown(path, owner, owner)


def main() -> None:
    """Unpack, dress and write the disk."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--archive", "--work", "--disk", "--public-key", "--host-key"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--id-max", type=int, required=True)
    asked = parser.parse_args()
    asked.work.mkdir()
    asked.work.chmod(0o755)
    subprocess.run(["tar", "-xf", str(asked.archive), "-C", str(asked.work), "--numeric-owner"], check=True)
    dress(asked.work, asked.public_key.read_text(), asked.host_key, asked.id_max)
    disk.write(asked.work, asked.disk)
    shutil.rmtree(asked.work)


if __name__ == "__main__":
    main()
