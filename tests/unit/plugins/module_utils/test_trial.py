# SPDX-License-Identifier: GPL-3.0-or-later
"""The trial's menu entry, its part of custom.cfg, what speaks against it, and why it did not hold."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import io
import os
import subprocess

import pytest
from ansible_collections.el7ops.kmem.plugins.module_utils import _grub, _trial

FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "fixtures", "grub")
NEW = "3.10.0-1127.19.1.el7.x86_64"


def fixture(name):
    with io.open(os.path.join(FIXTURES, name), encoding="utf-8", newline="") as stream:
        return stream.read()


def entry(config, **options):
    wanted = _grub.candidates(_grub.entries(config), NEW)[0]
    return wanted, _trial.entry(config, wanted, **options)


@pytest.mark.parametrize("name", ["centos-7.8-bios.cfg", "centos-7.9-uefi.cfg", "centos-7-submenu.cfg"])
def test_the_entry_boots_the_same_kernel_with_more_arguments(name):
    config = fixture(name)
    wanted = [one for one in _grub.entries(config) if not one["rescue"]][0]
    block = _trial.entry(config, wanted)
    (made,) = _grub.entries(block)
    assert made["kernel"] == wanted["kernel"] and made["initrd"] == wanted["initrd"]
    assert made["args"] == wanted["args"] + " " + " ".join(_trial.ARGUMENTS)
    assert made["title"] == _trial.title(wanted["version"]) and made["id"] == _trial.ENTRY_ID
    assert "--unrestricted" in block.partition("\n")[0]
    # all that GRUB does before it loads the kernel stays: modules, search, root
    before = [line.strip() for line in config[slice(*wanted["block"])].splitlines()[1:] if "linux" not in line]
    assert before == [line.strip() for line in block.splitlines()[1:] if "linux" not in line]


def test_the_entry_leaves_nokmem_out_where_asked_and_keeps_what_belongs_to_init():
    config = fixture("centos-7.8-bios.cfg")
    first = _grub.candidates(_grub.entries(config), NEW)[0]
    config = config.replace(first["args"], first["args"] + " cgroup.memory=nosocket,nokmem -- quiet-init", 1)
    assert "nokmem" in entry(config)[1]
    (made,) = _grub.entries(entry(config, without_nokmem=True)[1])
    assert "cgroup.memory=nosocket " in made["args"] and "nokmem" not in made["args"]
    assert made["args"].endswith(" ".join(_trial.ARGUMENTS) + " -- quiet-init")


def test_custom_cfg_gets_the_part_once_and_loses_it_to_the_byte():
    block = entry(fixture("centos-7.8-bios.cfg"))[1]
    for text in ("", "menuentry 'mine' {\n\tlinux16 /mine\n}\n"):
        once = _trial.custom(text, block, "2")
        assert _trial.custom(once, block, "2") == once and 'set fallback="2"' in once and once.startswith(text)
        assert len(_grub.entries(once)) == 1 + bool(text)
        assert _trial.custom(once, None, None) == (text or None)
    assert "fallback" not in _trial.custom("", block, None)


def test_only_a_config_that_reads_custom_cfg_serves_it():
    config = fixture("centos-7.8-bios.cfg")
    assert _trial.serves_custom(config)
    assert not _trial.serves_custom(config.replace("source", "#source"))


@pytest.mark.parametrize("filesystem, device, uuid, words", [
    ("xfs", "sda", "", ""), ("ext4", "vda", "", ""), ("vfat", "nvme0n1", "", ""), ("xfs", "dm-3", "part1-mpath-3600508b4", ""),
    ("xfs", "dm-0", "LVM-abc", "logical volume"), ("ext4", "dm-1", "CRYPT-LUKS1-x", "encrypted"), ("ext4", "dm-1", "", "mapped device"),
    ("xfs", "md127", "", "RAID"), ("btrfs", "sda", "", "btrfs"), ("xfs", "", "", "cannot be found"),
])  # fmt: skip
def test_where_grub_can_write_the_environment_block(filesystem, device, uuid, words):
    why = _trial.environment_writable(filesystem, device, uuid)
    assert (words in why) if words else why == ""


def test_a_password_stops_only_entries_that_are_restricted():
    config = fixture("centos-7.8-bios.cfg")
    with_users = 'if [ -n "${GRUB2_PASSWORD}" ]; then\n  set superusers="root"\nfi\n' + config

    def stops(text, user_cfg):
        return _trial.password_stops(text, user_cfg, [one for one in _grub.entries(text) if not one["rescue"]][0])

    restricted = with_users.replace("--unrestricted ", "")
    assert not stops(with_users, "GRUB2_PASSWORD=grub.pbkdf2.sha512.10000.x")
    assert not stops(restricted, None)
    assert stops(restricted, "GRUB2_PASSWORD=grub.pbkdf2.sha512.10000.x")
    assert stops('set superusers="admin"\n' + config.replace("--unrestricted ", ""), None)


LIVE = "if [ x$feature_timeout_style = xy ] ; then\n  set timeout_style=menu\n  set timeout=%s\nelse\n  set timeout=5\nfi\n"


@pytest.mark.parametrize("defaults, config, words", [
    ("GRUB_TIMEOUT=0\n", LIVE % 5, "GRUB_TIMEOUT is 0"), ('GRUB_TIMEOUT="0"\n', "", "GRUB_TIMEOUT is 0"),
    ("GRUB_TIMEOUT=5\n", LIVE % 0, "grub.cfg sets timeout=0"), ("GRUB_TIMEOUT=5\n", LIVE % 5, ""), ("", "", ""), ("", LIVE % -1, ""),
    ("if true; then GRUB_TIMEOUT=5; fi\n", LIVE % 5, "cannot be told (line 1"), ("if true; then GRUB_TIMEOUT=5; fi\n", LIVE % 0, "sets timeout=0"),
    ('GRUB_TIMEOUT="5\n', LIVE % 5, "cannot be told"),
])  # fmt: skip
def test_a_hidden_menu(defaults, config, words):
    why = _trial.hidden_menu(defaults, config)
    assert (words in why) if words else why == ""


@pytest.mark.parametrize("scripts, wanted", [
    ({"dracut-lib.sh": "getarg rd.emergency", "dracut-emergency.sh": "getarg rd.emergency"}, True), ({"dracut-emergency.sh": "rd.emergency"}, True),
    ({"dracut-lib.sh": "getarg rd.emergency", "dracut-emergency.sh": "exit 1"}, False), ({"dracut-lib.sh": "x", "other.sh": "rd.emergency"}, False),
    ({}, False),
])  # fmt: skip
def test_only_a_dracut_whose_two_ways_know_it_reboots(scripts, wanted):
    assert _trial.emergency_reboot(scripts) is wanted


PSTORE = """Oops#1 Part1
<6>[    3.1] scsi host0: ahci
<0>[    3.9] VFS: Unable to mount root fs on unknown-block(0,0)
<0>[    4.0] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)
<4>[    4.0] CPU: 0 PID: 1 Comm: swapper/0 Not tainted 6.9.7-1.el7.elrepo.x86_64 #1
"""


def test_the_panic_is_found_in_what_pstore_kept():
    assert _trial.panic_text(["nothing here\n", PSTORE]).endswith("Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)")
    assert _trial.panic_text(["nothing here\n"]) == ""


JOBS = """reason=%s
uptime=601
== systemctl --failed
sshd.service loaded failed failed OpenSSH server daemon
== systemctl list-jobs
 87 NetworkManager-wait-online.service start running
 90 network-online.target              start waiting
  1 multi-user.target                  start waiting
== ip address
1: lo    inet 127.0.0.1/8 scope host lo
== journal, last lines
 11 bottles.service start running
"""


@pytest.mark.parametrize("record, there, absent", [
    (JOBS % "login", "NetworkManager-wait-online.service did not get ready, and 2 more jobs waited. The host rebooted", "sshd"),
    (JOBS % "services", "NetworkManager-wait-online.service did not get ready", "a service did not come up"),
    ((JOBS % "login").replace("start running", "start waiting"), "jobs still waited (NetworkManager-wait-online.service, network-online", "sshd"),
    ("reason=login\nuptime=601\n== systemctl list-jobs\nNo jobs running.\n", "Look at the network, sshd and the controller", "did not come up"),
    ("reason=login\nuptime=601\n", "Look at the network, sshd and the controller", "did not come up"),
])  # fmt: skip
def test_the_reason_names_what_still_waited_and_accuses_nobody(record, there, absent):
    reason = _trial.reason(record, True, "", "6.9.7")
    assert there in reason and absent not in reason and "bottles" not in reason


@pytest.mark.parametrize("config, value", [
    ("CONFIG_BOOTPARAM_HARDLOCKUP_PANIC=y\nCONFIG_BOOTPARAM_HARDLOCKUP_PANIC_VALUE=1\n", "1"), ("CONFIG_BOOTPARAM_HARDLOCKUP_PANIC=y\n", "1"),
    ("# CONFIG_BOOTPARAM_HARDLOCKUP_PANIC is not set\nCONFIG_BOOTPARAM_HARDLOCKUP_PANIC_VALUE=0\n", "0"), ("", "0"),
])  # fmt: skip
def test_what_a_kernel_does_on_a_hard_lockup_unless_it_is_told(config, value):
    assert _trial.hardlockup_default(config) == value


def test_every_argument_that_sets_a_sysctl_has_it_put_back_and_a_database_has_its_time():
    # kernel-parameters.txt: panic=, oops=panic, softlockup_panic=, nmi_watchdog=panic
    assert set(_trial.SYSCTLS) == set(["panic", "panic_on_oops", "softlockup_panic", "hardlockup_panic"])
    assert _trial.PATIENCE > 300


@pytest.mark.parametrize("record, started, panic, words", [
    ("", False, "Kernel panic - not syncing: x", "panicked: Kernel panic"), ("reason=login\nuptime=601\n== x\nreason=services", True, "", "nobody logged in"),
    ("reason=services\nuptime=700\n", True, "", "a service did not come up"), ("", True, "", "ended without a word"),
    ("", False, "", "never reached the init system"), (None, False, "", "console's log"),
])  # fmt: skip
def test_the_reason_says_what_is_known_and_no_more(record, started, panic, words):
    assert words in _trial.reason(record, started, panic, "6.9.7")


WORDS = dict(kernel="no-such-kernel", old="old", login=1, services=1, patience=1, confirmed="/nowhere/confirmed", seen="/nowhere/seen",
             started="/nowhere/started", record="/nowhere/record", guard="/nowhere/guard", parameter=_trial.PARAMETER)  # fmt: skip


def test_the_guard_is_sh_and_does_nothing_on_another_kernel(tmpdir):
    script = tmpdir.join("guard")
    script.write(_trial.GUARD % WORDS)
    assert subprocess.call(["sh", "-n", str(script)]) == 0
    assert subprocess.call(["sh", str(script)]) == 0
    assert "ExecStart=/bin/sh /nowhere/guard" in _trial.SERVICE % WORDS
    # what still waits is put down before the reboot cancels it
    text = _trial.GUARD % WORDS
    assert 0 < text.index("systemctl list-jobs --no-legend") < text.index("} > /nowhere/record") < text.index("systemctl --no-block reboot")
