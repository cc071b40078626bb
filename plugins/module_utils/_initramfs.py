# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in an initramfs, and whether it is whole; and which module of a kernel drives a device.

Pure functions over bytes and text. An initramfs is cpio archives (newc) one after the other, microcode first and not packed,
the last one packed (kernel Documentation/early-userspace/buffer-format.txt). EL7's dracut packs with gzip unless told otherwise.
"""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import bz2
import fnmatch
import re
import zlib

HEADER = 110      # bytes of a newc header
LONGEST = 4096    # of a path
PACKED = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\x00", "xz"), (b"\x02\x21\x4c\x18", "lz4"), (b"\x89LZO", "lzo"),
          (b"]\x00\x00", "lzma"), (b"\x28\xb5\x2f\xfd", "zstd"))


class Damaged(ValueError):
    """It ends too early, or is no initramfs."""


class Unread(ValueError):
    """Packed in a way that this Python cannot unpack."""


class _Stream(object):
    """Bytes of a file that come in pieces; C(put_back) is for what a decompressor did not need."""

    def __init__(self, pieces):
        self.pieces, self.buffer = iter(pieces), b""

    def fill(self, size):
        parts, have = [self.buffer], len(self.buffer)
        while have < size:
            piece = next(self.pieces, None)
            if piece is None:
                break
            parts.append(piece)
            have += len(piece)
        self.buffer = b"".join(parts)
        return have >= size

    def peek(self, size):
        self.fill(size)
        return self.buffer[:size]

    def take(self, size):
        if not self.fill(size):
            raise Damaged("it ends in the middle of a file: it is cut off")
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def skip(self, size):
        while size > 0:
            if not self.peek(1):
                raise Damaged("it ends in the middle of a file: it is cut off")
            size -= len(self.take(min(size, len(self.buffer))))

    def skip_zeros(self):
        while self.peek(1) == b"\0":
            self.buffer = self.buffer.lstrip(b"\0")


def _unpacked(stream, kind):
    """The bytes behind gzip or bzip2, piece by piece. Raises Damaged where they end too early."""
    packer = zlib.decompressobj(31) if kind == "gzip" else bz2.BZ2Decompressor()
    while True:
        # behind the last piece one byte too many: only a complete stream has no use for it (Python 2.7 has no other sign)
        over = not stream.peek(1)
        piece = b"\0" if over else stream.take(min(len(stream.buffer), 65536))
        try:
            yield packer.decompress(piece)
        except EOFError:  # bzip2: complete before this piece
            stream.buffer = (b"" if over else piece) + stream.buffer
            return
        except (zlib.error, IOError, ValueError) as error:
            raise Damaged("the packed part cannot be unpacked (%s)" % error)
        if packer.unused_data or getattr(packer, "eof", False):
            stream.buffer = (b"" if over else packer.unused_data) + stream.buffer
            return
        if over:
            raise Damaged("the packed part ends too early: it is cut off")


def _archive(stream, names):
    """Reads one cpio archive up to its trailer."""
    while True:
        head = stream.take(HEADER)
        if head[:6] not in (b"070701", b"070702"):
            raise Damaged("there is no cpio archive where one should begin")
        try:
            fields = [int(head[start:start + 8], 16) for start in range(6, HEADER, 8)]
        except ValueError:
            raise Damaged("a header of the cpio archive is not understood")
        size, length = fields[6], fields[11]
        if not 0 < length <= LONGEST:
            raise Damaged("a name in the cpio archive is %d bytes long" % length)
        name = stream.take(length + -(HEADER + length) % 4)[:length].rstrip(b"\0")
        stream.skip(size + -size % 4)
        if name == b"TRAILER!!!":
            return
        names.append(name.decode("latin-1"))


def names(pieces):
    """The paths in an initramfs that comes as pieces of bytes. Raises Damaged where it is not whole, Unread where it cannot tell."""
    found, stream, archives = [], _Stream(pieces), 0
    while True:
        stream.skip_zeros()
        magic = stream.peek(6)
        if not magic:
            if archives:
                return found
            raise Damaged("it is empty")
        kind = ([name for start, name in PACKED if magic.startswith(start)] or [""])[0]
        if kind in ("gzip", "bzip2"):
            inner = _Stream(_unpacked(stream, kind))
            inner.skip_zeros()
            while inner.peek(1):
                _archive(inner, found)
                inner.skip_zeros()
        elif kind:
            raise Unread("it is packed by %s, which is not looked into" % kind)
        elif magic == b"070701" or magic == b"070702":
            _archive(stream, found)
        else:
            raise Damaged("it begins with %s, which is neither a cpio archive nor a packed one" % " ".join(
                "%02x" % byte for byte in bytearray(magic)))
        archives += 1


def modules_in(paths):
    """The names of the modules among the paths of an initramfs, with _ for -."""
    found = [re.search(r"/([^/]+)\.ko(?:\.[a-z0-9]+)?$", path) for path in paths]
    return set(match.group(1).replace("-", "_") for match in found if match)


def builtin_aliases(modinfo):
    """[(pattern, module)] of modules.builtin.modinfo, which kernels since 5.2 have."""
    return [(rest, name) for name, unused, rest in (entry.partition(".alias=") for entry in modinfo.split("\0")) if unused]


def module_aliases(text):
    """[(pattern, module)] of modules.alias."""
    return [tuple(line.split(None, 2)[1:]) for line in text.splitlines() if line.startswith("alias ") and len(line.split()) == 3]


def drivers(alias, aliases):
    """The modules whose pattern fits the alias of a device, with _ for -, sorted."""
    fitting = set()
    for pattern, module in aliases:
        # the fixed start of a pattern sorts nearly all of them out, and costs little
        if alias.startswith(re.match(r"[^*?\[]*", pattern).group(0)) and fnmatch.fnmatchcase(alias, pattern):
            fitting.add(module.replace("-", "_"))
    return sorted(fitting)


def lacking(devices, loadable, builtin, inside):
    """What a kernel lacks to drive devices: (missing, unsure), lists of sentences.

    C(devices): dicts of name, alias, driver, loaded (the running kernel has its driver as a module). C(loadable): aliases of
    the new kernel's modules. C(builtin): those built into it, None where it does not tell. C(inside): names of the modules
    in the initramfs, None where it need not be there.
    """
    missing, unsure = [], []
    for device in devices:
        if drivers(device["alias"], builtin or []):
            continue
        found = drivers(device["alias"], loadable)
        if found and (inside is None or set(found) & inside):
            continue
        what = "%s (%s, driver %s here)" % (device["name"], device["alias"], device["driver"])
        if found and device["loaded"]:
            missing.append("the initramfs does not hold %s for %s" % (" or ".join(found), what))
        elif builtin is not None and device["loaded"]:
            missing.append("the kernel has no driver for %s" % what)
        else:
            # A driver that is no module here may be built in there too: drivers that cannot be modules have no alias (pcieport), and
            # kernels before 5.2 do not list those built in. A module whose alias fits need not be the driver (shpchp fits any bridge).
            unsure.append("whether the kernel drives %s cannot be told" % what)
    return missing, unsure
