# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What C(lsblk) and C(lvs) say, for the question what to take a snapshot of and whether LVM can."""

from __future__ import annotations

import math
import re
import shlex

DOCUMENTATION = r"""
name: snapshot_plan
short_description: Tells whether and how LVM can make a snapshot of a mounted volume
version_added: 0.2.0
author: el7ops.kmem contributors (@el7ops)
description:
  - Finds the logical volume of a device in the output of C(lvs) and gives what C(lvcreate) needs, or the reason why not.
  - The same file has the filters C(snapshot_disks) (system disks and lines to show, from C(lsblk)) and C(snapshot_lv) (one volume
    by its VG/LV).
positional: device, size, name
options:
  _input:
    description: Output of C(lvs) with the columns of the role snapshot_reminder.
    type: str
    required: true
  device:
    description: The device that is mounted, for example /dev/mapper/centos-root.
    type: str
    required: true
  size:
    description: Room for the snapshot, in per cent of the volume or as a size like 5G.
    type: str
    required: true
  name:
    description: Name of the snapshot.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Plan
  ansible.builtin.set_fact:
    plan: "{{ lvs.stdout | el7ops.kmem.snapshot_plan('/dev/mapper/centos-root', '20%', 'el7ops_1') }}"
"""

RETURN = r"""
_value:
  description: C(refused) (the reason, or an empty text), C(vg), C(lv), C(extents), C(exists), C(id), and C(size) in MiB.
  type: dict
"""

# the order of -o in the role
LVS = ("vg", "lv", "path", "dm_path", "origin", "attr", "size", "used", "extent", "free")
SYSTEM_MOUNTS = ("/", "/boot", "/boot/efi", "/usr", "/var")
# lvm(8), valid names
RESERVED = r"^(snapshot|pvmove)|_(cdata|cmeta|tdata|tmeta|mimage|mlog|rimage|rmeta|vorigin)|^\.{1,2}$"
UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def snapshot_disks(text):
    """System disks (what carries / and /boot) and one line for each device, of C(lsblk -P) with NAME KNAME PKNAME TYPE SIZE FSTYPE MOUNTPOINT."""
    rows = []
    for line in (text or "").splitlines():
        try:
            rows.append(dict(word.split("=", 1) for word in shlex.split(line)))
        except ValueError:
            continue  # a label with a stray quote must not hide the other devices
    rows = [row for row in rows if row.get("KNAME")]
    parents = {}
    for row in rows:
        parents.setdefault(row["KNAME"], set()).update(filter(None, [row.get("PKNAME")]))
    roots, todo = set(), {row["KNAME"] for row in rows if row.get("MOUNTPOINT") in SYSTEM_MOUNTS}
    seen = set()
    while todo:
        name = todo.pop()
        seen.add(name)
        above = {parent for parent in parents.get(name, ()) if parent in parents}
        if not above:
            roots.add(name)
        todo |= above - seen
    lines = []
    for row in rows:
        if row.get("TYPE") in ("rom", "loop"):
            continue
        words = [row.get("NAME") or row["KNAME"], row.get("TYPE", ""), row.get("SIZE", ""), row.get("FSTYPE", "")]
        line = " ".join(filter(None, words)) + (f" on {row['MOUNTPOINT']}" if row.get("MOUNTPOINT") else "")
        lines += [line] if line not in lines else []
    return {"disks": sorted(roots), "lines": lines, "lvm": any(row.get("TYPE") == "lvm" and row.get("MOUNTPOINT") in SYSTEM_MOUNTS for row in rows)}


def volumes(text):
    """The rows of C(lvs --units b --nosuffix --separator '|') as dicts; others are left out."""
    rows = []
    for line in (text or "").splitlines():
        values = [value.strip() for value in line.split("|")]
        if len(values) == len(LVS):
            row = dict(zip(LVS, values))
            if row["size"].isdigit() and row["extent"].isdigit() and row["free"].isdigit():
                rows.append({**row, "size": int(row["size"]), "extent": int(row["extent"]), "free": int(row["free"])})
    return rows


def snapshot_lv(text, name):
    """State of the volume C(name) (VG/LV): exists, snapshot, usable, merging, used per cent, origin, path."""
    rows = {f"{row['vg']}/{row['lv'].strip('[]')}": row for row in volumes(text)}
    row = rows.get(name)
    if row is None:
        return {"exists": False, "snapshot": False, "usable": False, "merging": False, "used": "", "origin": "", "path": ""}
    kind, state = row["attr"][:1], row["attr"][4:5]
    return {
        "exists": True,
        # s: a snapshot, S: one that is being merged; V with an origin would be a thin one, which is not made here
        "snapshot": kind in ("s", "S"),
        # I: invalid, it ran full; S: invalid and suspended
        "usable": kind == "s" and state == "a" and re.match(r"^\d{1,2}(\.\d+)?$", row["used"]) is not None,
        "merging": kind == "S",
        "used": row["used"],
        "origin": row["origin"].strip("[]"),
        "path": row["path"],
    }


def extents_for(size, row):
    """Extents for a size like 20% or 5G, or None where it is no size."""
    match = re.match(r"^\s*(\d+(?:\.\d+)?)\s*(%|[bkmgt]?)(?:ib|b)?\s*$", str(size).lower())
    if not match:
        return None
    number, unit = float(match.group(1)), match.group(2)
    amount = row["size"] * number / 100 if unit == "%" else number * UNITS[unit]
    return math.ceil(amount / row["extent"])


def snapshot_plan(text, device, size, name):
    """What C(lvcreate) needs for a snapshot of a mounted device, or why there can be none."""
    plan = {"refused": "", "vg": "", "lv": "", "extents": 0, "exists": False, "id": "", "size": 0}
    rows = volumes(text)
    row = next((one for one in rows if device in (one["dm_path"], one["path"])), None)
    if row is None:
        return {**plan, "refused": f"{device} is no logical volume that lvs knows"}
    identity = f"{row['vg']}/{name}"
    plan.update(vg=row["vg"], lv=row["lv"], id=identity)
    if not re.match(r"^[a-zA-Z0-9+_.][a-zA-Z0-9+_.-]*$", name) or re.search(RESERVED, name):
        return {**plan, "refused": f"'{name}' is no name that LVM takes; set snapshot_reminder_lvm_name"}
    there = snapshot_lv(text, identity)
    if there["exists"]:
        if there["snapshot"] and there["usable"] and there["origin"] == row["lv"]:
            return {**plan, "exists": True}
        what = (
            "a snapshot that ran full or is not active, it cannot be merged any more" if there["snapshot"] and there["origin"] == row["lv"]
            else f"no snapshot of {row['vg']}/{row['lv']}"
        )  # fmt: skip
        return {**plan, "refused": f"{identity} exists already and is {what}; remove it (lvremove {identity}) or set snapshot_reminder_lvm_name"}
    if row["attr"][:1] == "V":
        reason = "is thin: its snapshots have no room of their own, and a pool that runs full stops every volume in it"
        return {**plan, "refused": f"{row['vg']}/{row['lv']} {reason}"}
    if row["attr"][:1] not in ("-", "o", "r", "R", "m", "M"):
        return {**plan, "refused": f"{row['vg']}/{row['lv']} is of a kind (lv_attr {row['attr']}) whose snapshots were never tried here, or a merge is pending"}
    extents = extents_for(size, row)
    if not extents:
        return {**plan, "refused": f"'{size}' is no size; snapshot_reminder_lvm_size takes per cent of the volume (20%) or a size (5G)"}
    if extents > row["free"]:
        free, needed = (number * row["extent"] // 2**20 for number in (row["free"], extents))
        return {
            **plan,
            "refused": f"volume group {row['vg']} has {row['free']} free extents ({free} MiB), and a snapshot of {size} of "
            f"{row['vg']}/{row['lv']} needs {extents} ({needed} MiB); add a disk (vgextend {row['vg']} DEVICE) or set snapshot_reminder_lvm_size",
        }
    return {**plan, "extents": extents, "size": extents * row["extent"] // 2**20}


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"snapshot_plan": snapshot_plan, "snapshot_disks": snapshot_disks, "snapshot_lv": snapshot_lv}
