# SPDX-License-Identifier: GPL-3.0-or-later
"""A bootable disk from a directory: MBR, GRUB (BIOS) and one ext4 partition.

No loop device and no mount, so no privilege is needed.  GRUB's core image is made by the
guest's own grub-mkimage, run through the guest's own dynamic linker: its version then always
fits the guest's grub-mkconfig, and the host needs no GRUB.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

SECTOR = 512
FIRST_SECTOR = 2048
SIZE_MIB = 4096


def write(root: Path, disk: Path) -> None:
    """Write the tree ROOT to the raw image DISK."""
    modules = root / "usr/lib/grub/i386-pc"
    installed = root / "boot/grub2/i386-pc"
    installed.mkdir(parents=True)
    for pattern in ("*.mod", "*.lst"):
        for file in modules.glob(pattern):
            shutil.copyfile(file, installed / file.name)
    core = _core_image(root, modules, disk.with_suffix(".core"))
    sectors = (SIZE_MIB << 20) // SECTOR - FIRST_SECTOR
    with open(disk, "wb") as image:
        image.truncate(SIZE_MIB << 20)
    subprocess.run(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-L", "el7lab", "-I", "256",
         "-E", f"offset={FIRST_SECTOR * SECTOR},lazy_itable_init=1,root_owner=0:0",
         "-d", str(root), str(disk), f"{sectors // 2}k"],
        check=True,
        # the guest's defaults: a newer host may turn on features that GRUB 2.06 cannot read
        env={**os.environ, "MKE2FS_CONFIG": str(root / "etc/mke2fs.conf")},
    )  # fmt: skip
    with open(disk, "r+b") as image:
        image.write(_boot_sector((modules / "boot.img").read_bytes(), sectors))
        image.write(core)


def _core_image(root: Path, modules: Path, scratch: Path) -> bytes:
    """Return GRUB's core image with the block list that diskboot.img needs to load the rest of it."""
    libraries = ":".join(str(root / d) for d in ("usr/lib/x86_64-linux-gnu", "usr/lib"))
    # fakeroot's library is the host's and does not load into the guest's older C library
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    subprocess.run(
        [str(root / "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"), "--library-path", libraries,
         str(root / "usr/bin/grub-mkimage"), "-O", "i386-pc", "-d", str(modules), "-p", "(hd0,msdos1)/boot/grub2",
         "-o", str(scratch), "biosdisk", "part_msdos", "ext2", "normal", "serial", "terminal"],
        check=True,
        env=environment,
    )  # fmt: skip
    core = bytearray(scratch.read_bytes())
    scratch.unlink()
    core += bytes(-len(core) % SECTOR)
    count = len(core) // SECTOR
    if count >= FIRST_SECTOR - 1:
        raise ValueError("GRUB's core image does not fit in front of the partition")
    # first sector 2, number of sectors, load segment
    core[500:512] = struct.pack("<QHH", 2, count - 1, 0x820)
    return bytes(core)


def _boot_sector(boot_image: bytes, sectors: int) -> bytes:
    """Return GRUB's boot.img with the core's first sector and a partition table in it."""
    sector = bytearray(boot_image[:SECTOR])
    sector[0x5C:0x64] = struct.pack("<Q", 1)
    partition = struct.pack("<B3sB3sII", 0x80, b"\x20\x21\0", 0x83, b"\xfe\xff\xff", FIRST_SECTOR, sectors)
    sector[440:446] = b"EL7L\0\0"
    sector[446:510] = partition.ljust(64, b"\0")
    sector[510:512] = b"\x55\xaa"
    return bytes(sector)
