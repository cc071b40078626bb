# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fingerprint of a key file, without gpg."""

from __future__ import annotations

DOCUMENTATION = r"""
name: key_fingerprint
short_description: Fingerprint of the only key in an armored OpenPGP file
version_added: 0.2.0
author: el7ops.kmem contributors (@el7ops)
description:
  - Refuses a file that holds more than one key, because C(rpm --import) would take them all.
options:
  _input:
    description: Text of the file.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show it
  ansible.builtin.debug:
    msg: "{{ lookup('ansible.builtin.file', 'RPM-GPG-KEY-elrepo.org') | el7ops.kmem.key_fingerprint }}"
"""

RETURN = r"""
_value:
  description: 40 hex digits, or why the file cannot be used, which is never 40 characters long and in capitals.
  type: str
"""

import base64
import binascii
import hashlib
import re

BLOCK = re.compile(r"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.S)


def packets(raw):
    """(tag, body) of each packet (RFC 4880, section 4.2)."""
    position = 0
    while position < len(raw):
        first = raw[position]
        if not first & 0x80:
            raise ValueError("no OpenPGP packet")
        if first & 0x40:
            tag, length, size = first & 0x3F, raw[position + 1], 1
            if 192 <= length < 224:
                length, size = ((length - 192) << 8) + raw[position + 2] + 192, 2
            elif length == 255:
                length, size = int.from_bytes(raw[position + 2 : position + 6], "big"), 5
            elif length >= 224:
                raise ValueError("a packet in parts")
        else:
            tag, kind = (first >> 2) & 0x0F, first & 0x03
            if kind == 3:
                raise ValueError("a packet without length")
            size = 1 << kind
            length = int.from_bytes(raw[position + 1 : position + 1 + size], "big")
        begin = position + 1 + size
        if begin + length > len(raw):
            raise ValueError("a packet that is cut off")
        yield tag, raw[begin : begin + length]
        position = begin + length


def key_fingerprint(text):
    """The fingerprint of the one key in C(text), or a sentence that says why there is none."""
    blocks = BLOCK.findall(text)
    if len(blocks) != 1:
        return f"not usable: {len(blocks)} key blocks in the file"
    lines = blocks[0].splitlines()
    body = [line.strip() for line in lines if line.strip() and ": " not in line and not line.strip().startswith("=")]
    try:
        found = list(packets(base64.b64decode("".join(body), validate=True)))
    except (ValueError, IndexError, binascii.Error) as error:
        return f"not usable: {error}"
    keys = [content for tag, content in found if tag == 6]
    if len(keys) != 1 or keys[0][0] != 4:
        return f"not usable: {len(keys)} keys of version 4 in the file"
    digest = hashlib.sha1(b"\x99" + len(keys[0]).to_bytes(2, "big") + keys[0], usedforsecurity=False)
    return digest.hexdigest().upper()


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"key_fingerprint": key_fingerprint}
