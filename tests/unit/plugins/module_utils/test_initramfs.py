# SPDX-License-Identifier: GPL-3.0-or-later
"""Initramfs images made here by hand, whole and not, and the aliases of real devices."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import bz2
import io
import zlib

import pytest
from ansible_collections.el7ops.kmem.plugins.module_utils import _initramfs


def cpio(*names):
    """A newc archive with these files, each with some bytes in it."""
    out = b""
    for name in names + ("TRAILER!!!",):
        raw, body = name.encode("ascii") + b"\0", b"" if name == "TRAILER!!!" else b"x" * 70
        fields = [1, 0o100644, 0, 0, 1, 0, len(body), 0, 0, 0, 0, len(raw), 0]
        out += b"070701" + b"".join(b"%08X" % field if str is not bytes else ("%08X" % field).encode("ascii") for field in fields)
        out += raw
        out += b"\0" * (-len(out) % 4)
        out += body
        out += b"\0" * (-len(out) % 4)
    return out


def gzip(raw):
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(raw) + packer.flush()


MICROCODE = cpio("early_cpio", "kernel/x86/microcode/GenuineIntel.bin")
MODULES = cpio("init", "usr/lib/modules/6.9.7/kernel/drivers/block/virtio_blk.ko.xz", "usr/lib/modules/6.9.7/kernel/fs/xfs/xfs.ko")


def names(raw, size=64):
    stream = io.BytesIO(raw)
    return _initramfs.names(iter(lambda: stream.read(size), b""))


@pytest.mark.parametrize("raw", [
    MODULES, gzip(MODULES), bz2.compress(MODULES), MICROCODE + gzip(MODULES), MICROCODE + b"\0" * 300 + gzip(MODULES) + b"\0" * 77,
    gzip(MICROCODE) + gzip(MODULES),
], ids=["plain", "gzip", "bzip2", "microcode", "padded", "twice"])  # fmt: skip
@pytest.mark.parametrize("size", [1, 13, 64, 1 << 20])
def test_a_whole_one_is_read_whatever_it_is_packed_by(raw, size):
    found = names(raw, size)
    assert found[-2:] == ["usr/lib/modules/6.9.7/kernel/drivers/block/virtio_blk.ko.xz", "usr/lib/modules/6.9.7/kernel/fs/xfs/xfs.ko"]
    assert _initramfs.modules_in(found) == set(["virtio_blk", "xfs"])


@pytest.mark.parametrize("raw", [MODULES, gzip(MODULES), MICROCODE + gzip(MODULES)], ids=["plain", "gzip", "microcode"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8, 0.95])
def test_one_that_is_cut_off_is_damaged(raw, share):
    start = len(MICROCODE) if raw.startswith(MICROCODE) else 0
    with pytest.raises(_initramfs.Damaged):
        names(raw[:start + int((len(raw) - start) * share)])


@pytest.mark.parametrize("raw, words", [
    (b"", "empty"), (b"\0" * 512, "empty"), (b"hello world" * 20, "neither"), (gzip(b"hello world" * 20), "no cpio archive"),
], ids=["nothing", "zeros", "text", "packed text"])  # fmt: skip
def test_what_is_none_is_damaged(raw, words):
    with pytest.raises(_initramfs.Damaged) as error:
        names(raw)
    assert words in str(error.value)


def test_one_packed_by_xz_cannot_be_told():
    with pytest.raises(_initramfs.Unread):
        names(MICROCODE + b"\xfd7zXZ\x00" + b"\x11" * 64)


# aliases as kernels have them: virtio_blk, xfs, nvme, mpt3sas built as modules; sd and the PCI port driver built in
LOADABLE = """# Aliases extracted from modules themselves.
alias virtio:d00000002v* virtio_blk
alias fs-xfs xfs
alias pci:v*d*sv*sd*bc01sc08i02* nvme
alias pci:v00001000d00000097sv*sd*bc*sc*i* mpt3sas
"""
BUILTIN = "virtio_pci.alias=pci:v00001AF4d*sv*sd*bc*sc*i*\0sd_mod.alias=scsi:t-0x00*\0ext4.alias=fs-ext4\0ext4.license=GPL\0"
VIRTIO = dict(name="the disk vda", alias="virtio:d00000002v00001AF4", driver="virtio_blk", loaded=True)
NVME = dict(name="the disk nvme0n1", alias="pci:v0000144Dd0000A808sv0000144Dsd0000A801bc01sc08i02", driver="nvme", loaded=True)
BRIDGE = dict(name="the disk sda", alias="pci:v00008086d0000A340sv00000000sd00000000bc06sc04i00", driver="pcieport", loaded=False)
XFS = dict(name="the root file system", alias="fs-xfs", driver="xfs", loaded=True)
ENA = dict(name="the network interface eth0", alias="pci:v00001D0Fd0000EC20sv00000000sd00000000bc02sc00i00", driver="ena", loaded=True)


def lacking(devices, inside, builtin=BUILTIN):
    aliases = None if builtin is None else _initramfs.builtin_aliases(builtin)
    return _initramfs.lacking(devices, _initramfs.module_aliases(LOADABLE), aliases, inside)


def test_what_is_in_the_initramfs_or_built_in_lacks_nothing():
    ext4 = dict(XFS, alias="fs-ext4", driver="ext4")
    pci = dict(VIRTIO, alias="pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00", driver="virtio-pci")
    assert lacking([VIRTIO, XFS, NVME, ext4, pci], set(["virtio_blk", "xfs", "nvme"])) == ([], [])
    assert lacking([NVME], None) == ([], [])  # the network's need not be in the initramfs


@pytest.mark.parametrize("device, inside, words", [
    (XFS, set(["virtio_blk"]), "the initramfs does not hold xfs"), (NVME, set(), "the initramfs does not hold nvme"),
    (ENA, set(), "no driver for the network interface eth0"), (ENA, None, "no driver for the network interface eth0"),
])  # fmt: skip
def test_what_is_missing_is_named(device, inside, words):
    missing, unsure = lacking([device], inside)
    assert len(missing) == 1 and words in missing[0] and unsure == []


@pytest.mark.parametrize("device, builtin", [(BRIDGE, BUILTIN), (ENA, None)])
def test_what_cannot_be_told_is_not_called_missing(device, builtin):
    missing, unsure = lacking([device], set(), builtin)
    assert missing == [] and len(unsure) == 1 and device["name"] in unsure[0]


def test_a_module_that_only_fits_a_bridge_is_not_called_missing():
    bridges = [("pci:v*d*sv*sd*bc06sc04i*", "shpchp"), ("pci:v*d*sv*sd*bc01sc08i02*", "nvme")]
    for builtin in (None, []):
        missing, unsure = _initramfs.lacking([BRIDGE, NVME], bridges, builtin, set(["nvme"]))
        assert missing == [] and len(unsure) == 1 and "driver pcieport here" in unsure[0]
    # the disk's own driver is a module here, so it has to be in the initramfs
    missing, unsure = _initramfs.lacking([BRIDGE, NVME], bridges, None, set())
    assert len(missing) == 1 and "does not hold nvme" in missing[0] and len(unsure) == 1
