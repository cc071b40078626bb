# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exchanging runc, the thinking part: is a binary fit, and what Docker's daemon.json becomes. Pure functions."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import collections
import json
import re
import struct

from ansible_collections.el7ops.kmem.plugins.module_utils import _runc

MACHINES = {62: "x86_64", 183: "aarch64", 21: "ppc64le"}
PT_INTERP = 3


def elf(head):
    """{machine, static} of an ELF program from its first bytes; None where it is none of 64 bits."""
    if len(head) < 64 or head[:5] != b"\x7fELF\x02" or head[5:6] != b"\x01":
        return None
    machine = struct.unpack("<H", head[18:20])[0]
    offset, size, count = struct.unpack("<Q", head[32:40])[0], struct.unpack("<H", head[54:56])[0], struct.unpack("<H", head[56:58])[0]
    static = True
    for number in range(count):
        begin = offset + number * size
        if begin + 4 > len(head):
            return None
        if struct.unpack("<I", head[begin : begin + 4])[0] == PT_INTERP:
            static = False
    return {"machine": MACHINES.get(machine, "machine %d" % machine), "static": static}


def unfit(head, strings, host_machine):
    """Why a candidate must not be installed, as a sentence; an empty string where it may."""
    kind = elf(head)
    if kind is None:
        return "it is no 64-bit ELF program"
    if kind["machine"] != host_machine:
        return "it is for %s, and this host is %s" % (kind["machine"], host_machine)
    if not kind["static"]:
        return "it is linked dynamically, so an update of a library could break every container; a static build is needed"
    kmem, why = _runc.binary({"strings": strings})
    if kmem == "on":
        return "it switches kmem accounting on itself: %s" % why
    if kmem != "off":
        return "none of its strings tells that it leaves kernel memory alone (runc rc94 or later, or a build with the tag nokmem)"
    return ""


def no_runc(path):
    """Why a file must not be exchanged for a runc, with the way out, as a sentence; an empty string where its name is that of one."""
    name = path.rpartition("/")[2]
    if name.startswith("nvidia-container-runtime"):
        return ("%s is a runc of its own with the hook for GPUs in it, and another runc in its place would take the GPUs away from its containers. "
                "Its version 3 uses the host's runc: yum update nvidia-container-runtime, then run this again" % path)  # fmt: skip
    if not re.match(r"(docker-)?runc([-.0-9]|$)", name):
        return "%s is no runc by its name, and what is special about it would be lost with another one. Update the package that it is of" % path
    return ""


def wants_console(usage):
    """Whether a runc has the flag --console, as those up to rc2, by what `runc create --help` prints; later ones have --console-socket."""
    return "--console" in usage and "--console-socket" not in usage


def other_default(text):
    """Docker's default runtime in daemon.json where it is another than runc, else an empty string."""
    name = parse(text).get("default-runtime")
    return "" if name in (None, "", "runc") else "%s" % (name,)


def parse(text):
    """daemon.json as a dict that keeps its order; ValueError where Docker would not take it either."""
    if not text.strip():
        return collections.OrderedDict()
    document = json.loads(text, object_pairs_hook=collections.OrderedDict)
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")
    if not isinstance(document.get("runtimes", {}), dict):
        raise ValueError("its \"runtimes\" is no object")
    return document


def dump(document):
    """The text of a daemon.json."""
    return json.dumps(document, indent=4, separators=(",", ": ")) + "\n"


def merged(text, name, path):
    """The text of daemon.json with our runtime as the default; the same text where it has that already."""
    document = parse(text)
    runtimes = document.get("runtimes", collections.OrderedDict())
    if document.get("default-runtime") == name and isinstance(runtimes.get(name), dict) and runtimes[name].get("path") == path:
        return text
    runtimes[name] = collections.OrderedDict([("path", path)])
    document["runtimes"] = runtimes
    document["default-runtime"] = name
    return dump(document)


def parted(text, name, before, keep=False):
    """The text of daemon.json without our runtime; C(before) is the default runtime of before, or None.

    With C(keep) it is only no longer the default: containers that were created with it need it to start.
    """
    document = parse(text)
    if document.get("default-runtime") != name and (keep or name not in document.get("runtimes", {})):
        return text
    if not keep:
        document.get("runtimes", {}).pop(name, None)
    if "runtimes" in document and not document["runtimes"]:
        del document["runtimes"]
    if document.get("default-runtime") == name:
        del document["default-runtime"]
        if before:
            document["default-runtime"] = before
    return dump(document)


def flags_against(arguments):
    """Flags of dockerd's command line that daemon.json must not repeat: with both, dockerd refuses to start."""
    return sorted(set(word.split("=")[0] for word in arguments if word.split("=")[0] in ("--default-runtime", "--add-runtime")))
