# SPDX-License-Identifier: GPL-3.0-or-later
"""What lsblk and lvs say, and the role with stand-ins of the LVM commands."""

import json
import pathlib
import subprocess
import sys

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "plugins" / "filter"))

import snapshot_plan as snapshots  # noqa: E402

# CentOS 7 as anaconda partitions it, on a virtual machine
LSBLK = """NAME="sr0" KNAME="sr0" PKNAME="" TYPE="rom" SIZE="1024M" FSTYPE="" MOUNTPOINT=""
NAME="vda" KNAME="vda" PKNAME="" TYPE="disk" SIZE="40G" FSTYPE="" MOUNTPOINT=""
NAME="vda1" KNAME="vda1" PKNAME="vda" TYPE="part" SIZE="1G" FSTYPE="xfs" MOUNTPOINT="/boot"
NAME="vda2" KNAME="vda2" PKNAME="vda" TYPE="part" SIZE="39G" FSTYPE="LVM2_member" MOUNTPOINT=""
NAME="centos-root" KNAME="dm-0" PKNAME="vda2" TYPE="lvm" SIZE="35G" FSTYPE="xfs" MOUNTPOINT="/"
NAME="centos-swap" KNAME="dm-1" PKNAME="vda2" TYPE="lvm" SIZE="4G" FSTYPE="swap" MOUNTPOINT="[SWAP]"
NAME="vdb" KNAME="vdb" PKNAME="" TYPE="disk" SIZE="100G" FSTYPE="" MOUNTPOINT=""
NAME="data vol" KNAME="vdb1" PKNAME="vdb" TYPE="part" SIZE="100G" FSTYPE="xfs" MOUNTPOINT="/srv/my data"
"""
RAID = """NAME="sda" KNAME="sda" PKNAME="" TYPE="disk" SIZE="1T" FSTYPE="" MOUNTPOINT=""
NAME="sda1" KNAME="sda1" PKNAME="sda" TYPE="part" SIZE="1T" FSTYPE="linux_raid_member" MOUNTPOINT=""
NAME="md127" KNAME="md127" PKNAME="sda1" TYPE="raid1" SIZE="1T" FSTYPE="xfs" MOUNTPOINT="/"
NAME="sdb" KNAME="sdb" PKNAME="" TYPE="disk" SIZE="1T" FSTYPE="" MOUNTPOINT=""
NAME="sdb1" KNAME="sdb1" PKNAME="sdb" TYPE="part" SIZE="1T" FSTYPE="linux_raid_member" MOUNTPOINT=""
NAME="md127" KNAME="md127" PKNAME="sdb1" TYPE="raid1" SIZE="1T" FSTYPE="xfs" MOUNTPOINT="/"
"""


@pytest.mark.parametrize("text, disks, lvm", [
    (LSBLK, ["vda"], True), (RAID, ["sda", "sdb"], False), ("", [], False), ('NAME="x\nKNAME\n', [], False),
    ('NAME="vda" KNAME="vda" PKNAME="" TYPE="disk" SIZE="1G" FSTYPE="ext4" MOUNTPOINT="/"', ["vda"], False),
])  # fmt: skip
def test_system_disks(text, disks, lvm):
    found = snapshots.snapshot_disks(text)
    assert (found["disks"], found["lvm"]) == (disks, lvm)


def test_lines_to_show():
    lines = snapshots.snapshot_disks(LSBLK)["lines"]
    assert "centos-root lvm 35G xfs on /" in lines and "data vol part 100G xfs on /srv/my data" in lines and not any("rom" in line for line in lines)
    assert len(snapshots.snapshot_disks(RAID)["lines"]) == 5


GIB, EXTENT = 2**30, 4 * 2**20


def lv(name, attr="-wi-ao----", size=10 * GIB, origin="", used="", free=1000, vg="centos"):
    return "|".join(["  " + vg, name, f"/dev/{vg}/{name}", f"/dev/mapper/{vg}-{name}", origin, attr, str(size), used, str(EXTENT), str(free)])


def plan(*rows, device="/dev/mapper/centos-root", size="20%", name="el7ops_1"):
    return snapshots.snapshot_plan("\n".join(rows) + "\n", device, size, name)


@pytest.mark.parametrize("size, extents", [("20%", 512), ("100%", 2560), ("1G", 256), ("1g", 256), ("1GiB", 256), ("512M", 128), ("1", 1), ("0.5%", 13)])
def test_room(size, extents):
    made = plan(lv("root", free=9999), size=size)
    assert (made["refused"], made["extents"], made["id"]) == ("", extents, "centos/el7ops_1")


SNAP = "swi-a-s---"


@pytest.mark.parametrize("rows, options, words", [
    ([], {}, "is no logical volume"), (["garbage", "|||||||||"], {}, "is no logical volume"),
    ([lv("root")], {"device": "/dev/vda1"}, "/dev/vda1 is no logical volume"),
    ([lv("root", free=511)], {}, "has 511 free extents (2044 MiB), and a snapshot of 20% of centos/root needs 512 (2048 MiB)"),
    ([lv("root", free=0)], {}, "vgextend centos"), ([lv("root", "Vwi-aotz--")], {}, "is thin"), ([lv("root", "Owi-aos---")], {}, "a merge is pending"),
    ([lv("root")], {"size": "much"}, "is no size"), ([lv("root")], {"size": "0%"}, "is no size"), ([lv("root")], {"size": "-1G"}, "is no size"),
    ([lv("root")], {"name": "a b"}, "no name that LVM takes"), ([lv("root")], {"name": "-x"}, "no name"), ([lv("root")], {"name": "snapshot1"}, "no name"),
    ([lv("root"), lv("el7ops_1")], {}, "no snapshot of centos/root"),
    ([lv("root"), lv("home"), lv("el7ops_1", SNAP, origin="home", used="1.00")], {}, "no snapshot of centos/root"),
    ([lv("root", "owi-aos---"), lv("el7ops_1", "swi-I-s---", origin="root", used="100.00")], {}, "ran full"),
])  # fmt: skip
def test_refusals(rows, options, words):
    made = plan(*rows, **options)
    assert words in made["refused"] and made["extents"] == 0


def test_a_snapshot_of_the_same_run_is_not_made_twice():
    made = plan(lv("root", "owi-aos---", free=0), lv("el7ops_1", SNAP, origin="root", used="0.35"))
    assert made["exists"] and not made["refused"]


@pytest.mark.parametrize("row, expected", [
    ("", (False, False, False, False)), (lv("s", SNAP, origin="root", used="99.99"), (True, True, True, False)),
    (lv("s", "swi-I-s---", origin="root", used="100.00"), (True, True, False, False)), (lv("s", "swi---s---", origin="root"), (True, True, False, False)),
    (lv("[s]", "Swi-a-s---", origin="root", used="1.00"), (True, True, False, True)), (lv("s"), (True, False, False, False)),
])  # fmt: skip
def test_state_of_a_snapshot(row, expected):
    found = snapshots.snapshot_lv(row, "centos/s")
    assert tuple(found[key] for key in ("exists", "snapshot", "usable", "merging")) == expected


# Stand-ins: their volume group is a text file with the lines that lvs prints.
LVM = """#!{python}
import os, sys
name, path, words = os.path.basename(sys.argv[0]), {state!r}, sys.argv[1:]
rows = [line.split("|") for line in open(path).read().splitlines()]
if name == "lvs":
    sys.exit(print("\\n".join("|".join(row) for row in rows)))
open(path + ".asked", "a").write(" ".join([name] + words) + "\\n")
if name == "lvcreate":
    vg, lv = words[-1].split("/")
    new = words[words.index("--name") + 1]
    rows.append([vg, new, "/dev/x", "/dev/mapper/x", lv, "swi-a-s---", "1", "0.00", "4194304", "0"])
else:
    target = words[-1].split("/")[1]
    if name == "lvconvert":
        rows = [row if row[1] != target else row[:1] + ["[" + target + "]"] + row[2:5] + ["Swi-a-s---"] + row[6:] for row in rows]
    else:
        rows = [row for row in rows if row[1] != target]
open(path, "w").write("\\n".join("|".join(row) for row in rows) + "\\n")
"""
PLAY = """
- hosts: localhost
  gather_facts: false
  environment: {PATH: 'BIN:/usr/bin:/bin'}
  tasks:
    - ansible.builtin.include_role: {name: el7ops.kmem.snapshot_reminder, tasks_from: "{{ entry | default('main') }}"}
    - ansible.builtin.copy:
        content: "{{ (snapshot_reminder_result | default({})) | combine({'merge': snapshot_reminder_merge_state | default('')}) | to_json }}"
        dest: '{{ result }}'
        mode: '0600'
      check_mode: false
"""


@pytest.fixture(name="role")
def fixture_role(tmp_path):
    """A function that runs the role on localhost without a terminal; returns rc, output, result, and the commands that changed volumes."""

    def play(*options, **variables):
        state, binaries, result = tmp_path / "lvs", tmp_path / "bin", tmp_path / "result.json"
        if not binaries.exists():
            binaries.mkdir()
            for name in ("lvs", "lvcreate", "lvconvert", "lvremove"):
                (binaries / name).write_text(LVM.format(python=sys.executable, state=str(state)))
            (binaries / "lsblk").write_text(f"#!/bin/sh\ncat <<'E'\n{LSBLK}E\n")
            (binaries / "findmnt").write_text("#!/bin/sh\necho '/dev/mapper/centos-root xfs'\n")
            (binaries / "hook").write_text("#!/bin/sh\necho chatter\necho \"snap-$EL7OPS_KMEM_HOST-$EL7OPS_KMEM_RUN_ID-$1\"\n")
            (binaries / "bad-hook").write_text("#!/bin/sh\necho TOKEN-IN-OUTPUT\necho 'quota exceeded' >&2\nexit 3\n")
            for name in binaries.iterdir():
                name.chmod(0o755)
            state.write_text(lv("root") + "\n")
        result.unlink(missing_ok=True)
        (tmp_path / "play.yml").write_text(PLAY.replace("BIN", str(binaries)))
        values = {"ansible_python_interpreter": sys.executable, "result": str(result), "snapshot_reminder_run_id": "R1", **variables}
        argv = ["ansible-playbook", "-i", "localhost,", "-c", "local", str(tmp_path / "play.yml"), "-e", json.dumps(values), *options]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd=tmp_path)
        asked = tmp_path / "lvs.asked"
        return (done.returncode, " ".join(done.stdout.split()), json.loads(result.read_text()) if result.exists() else {},
                asked.read_text() if asked.exists() else "")  # fmt: skip

    return play


def test_no_terminal_is_never_a_yes(role):
    rc, output, result, asked = role()
    assert rc and "REFUSED, nothing was changed on localhost" in output and "snapshot_reminder_acknowledged=true" in output
    assert "snapshot_reminder_id=ID" in output and "(vda)" in output and result == {} and not asked
    rc, output, result, asked = role("--check")
    assert rc == 0 and "WOULD ask" in result["snapshot"]["note"], output


@pytest.mark.parametrize("given", [{"snapshot_reminder_acknowledged": True}, {"snapshot_reminder_acknowledged": "yes"}, {"snapshot_reminder_id": "vm-1 night"}])
def test_an_acknowledgement_by_variable(role, given):
    rc, output, result, dummy = role(**given, snapshot_reminder_keep_days="2")
    snapshot = result["snapshot"]
    assert rc == 0 and (snapshot["method"], snapshot["id"], snapshot["keep_days"]) == ("ask", given.get("snapshot_reminder_id", ""), 2), output
    assert snapshot["taken_at"][-1] == "Z" and snapshot["remove_after"] > snapshot["taken_at"] and "was not looked at from here" in snapshot["note"]


def test_a_false_that_is_a_text_is_no_yes(role):
    assert role(snapshot_reminder_acknowledged="false")[0]


def test_a_hook(role, tmp_path):
    hook = str(tmp_path / "bin" / "hook")
    rc, output, result, dummy = role(snapshot_reminder_method="hook", snapshot_reminder_hook_command=[hook, "SECRET-{{ inventory_hostname }}"])
    assert rc == 0 and result["snapshot"]["id"] == "snap-localhost-R1-SECRET-localhost" and result["changed"] is True, output
    rc, output, *unused = role("-vvv", snapshot_reminder_method="hook", snapshot_reminder_hook_command=[str(tmp_path / "bin" / "bad-hook"), "SECRET"])
    assert rc and "bad-hook failed (exit code 3): quota exceeded" in output and "TOKEN-IN-OUTPUT" not in output and "SECRET" not in output
    rc, output, *unused = role(snapshot_reminder_method="hook", snapshot_reminder_hook_command=["/bin/true"])
    assert rc and "named no snapshot" in output
    rc, output, *unused = role(snapshot_reminder_method="hook")
    assert rc and "set either snapshot_reminder_hook_command" in output
    (tmp_path / "hook.yml").write_text("- ansible.builtin.set_fact: {snapshot_reminder_id: 'from-tasks-{{ snapshot_reminder_run_id }}'}\n")
    rc, output, result, dummy = role(snapshot_reminder_method="hook", snapshot_reminder_hook_tasks=str(tmp_path / "hook.yml"))
    assert rc == 0 and result["snapshot"]["id"] == "from-tasks-R1", output


def test_an_lvm_snapshot_is_made_once_merged_and_removed(role):
    rc, output, result, asked = role("--check", snapshot_reminder_method="lvm")
    assert rc == 0 and not asked and "WOULD be made" in result["snapshot"]["note"], output
    for changed in (True, False):
        rc, output, result, asked = role(snapshot_reminder_method="lvm")
        assert rc == 0 and (result["changed"], result["snapshot"]["id"]) == (changed, "centos/el7ops_R1"), output
        assert asked == "lvcreate --yes --snapshot --extents 512 --name el7ops_R1 centos/root\n"
    rc, output, *unused = role(entry="remove", snapshot_reminder_id="centos/root")
    assert rc and "no snapshot but a volume of its own" in output
    for dummy in range(2):
        rc, output, result, asked = role(entry="merge", snapshot_reminder_id="centos/el7ops_R1")
        assert rc == 0 and result["merge"] == "pending" and asked.count("lvconvert --yes --merge centos/el7ops_R1") == 1, output
    rc, output, *unused = role(entry="remove", snapshot_reminder_id="centos/el7ops_R1")
    assert rc and "being put back" in output
    rc, output, result, asked = role(entry="merge", snapshot_reminder_id="centos/none")
    assert rc == 0 and result["merge"] == "absent"
    rc, output, *unused = role(entry="merge", snapshot_reminder_id="none")
    assert rc and "must be VG/LV" in output


def test_remove(role):
    role(snapshot_reminder_method="lvm")
    for dummy in range(2):
        rc, output, result, asked = role(entry="remove", snapshot_reminder_id="centos/el7ops_R1")
        assert rc == 0 and asked.count("lvremove --yes centos/el7ops_R1") == 1, output


def test_a_host_without_lvm_is_refused(role, tmp_path):
    role(snapshot_reminder_acknowledged=True)
    (tmp_path / "bin" / "lvs").unlink()
    (tmp_path / "bin" / "findmnt").write_text("#!/bin/sh\necho '/dev/vda1 ext4'\n")
    rc, output, result, asked = role(snapshot_reminder_method="lvm")
    assert rc and "no LVM snapshot of / (/dev/vda1 ext4) can be made: /dev/vda1 is no logical volume" in output and "snapshot_reminder_method=ask" in output
