# SPDX-License-Identifier: GPL-3.0-or-later
"""The module on a tree that stands for a host, with stand-ins of GRUB's tools and systemctl."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import json
import os
import sys

import pytest
from ansible_collections.el7ops.kmem.plugins.module_utils import _grub, _trial
from ansible_collections.el7ops.kmem.plugins.modules import boot_trial
from ansible_collections.el7ops.kmem.tests.unit.plugins.module_utils.test_initramfs import BUILTIN, LOADABLE, cpio, gzip
from ansible_collections.el7ops.kmem.tests.unit.plugins.modules.harness import Tree
from ansible_collections.el7ops.kmem.tests.unit.plugins.modules.test_boot_entry import EDITENV, NEW, OLD, fixture, title

MOUNTS = "1 1 0:1 / / rw - rootfs rootfs rw\n"
MOUNTS += "20 1 8:2 / / rw,relatime shared:1 - xfs /dev/sda2 rw\n21 20 8:1 / %s/boot rw,relatime shared:2 - xfs /dev/sda1 rw\n"
ROUTES = "Iface\tDestination\tGateway\tFlags\neth0\t00000000\t0202000A\t0003\neth0\t0002000A\t00000000\t0001\n"
SYSTEMCTL = "#!/bin/sh\necho \"$@\" >> %(root)s/systemctl.log\n"
IMAGE = cpio("init", "usr/lib/modules/x/kernel/drivers/block/virtio_blk.ko", "usr/lib/modules/x/kernel/fs/xfs/xfs.ko.xz")


class Host(Tree):
    """A host with an xfs root on a virtio disk and one virtio network interface, both driven by modules."""

    def __init__(self, root, monkeypatch):
        super(Host, self).__init__(root, monkeypatch, boot_trial)
        self.put("boot/grub2/grub.cfg", fixture("centos-7.8-bios.cfg"))
        self.put("etc/default/grub", fixture("default-grub"))
        self.put("proc/sys/kernel/osrelease", OLD + "\n")
        self.put("proc/cmdline", "root=/dev/sda2 ro quiet\n")
        self.put("proc/self/mountinfo", MOUNTS % self.root)
        self.put("proc/net/route", ROUTES)
        self.put("proc/sys/kernel/panic", "0\n")
        self.put("proc/sys/kernel/panic_on_oops", "1\n")
        for version in (NEW, OLD):
            self.put("boot/vmlinuz-" + version, "kernel")
            self.put_image(version, gzip(IMAGE))
            self.put("lib/modules/%s/modules.alias" % version, LOADABLE + "alias virtio:d00000001v* virtio_net\n")
            self.put("lib/modules/%s/modules.builtin.modinfo" % version, BUILTIN)
        self.put("usr/lib/dracut/modules.d/98systemd/dracut-emergency.sh", "getarg rd.emergency=\n")
        self.put("dev/watchdog0", "")
        self.device("pci0000:00/0000:00:05.0", "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00", "virtio-pci")
        self.device("pci0000:00/0000:00:05.0/virtio1", "virtio:d00000002v00001AF4", "virtio_blk", module="virtio_blk")
        for number, name in (("8:1", "sda1"), ("8:2", "sda2")):
            self.put("sys/devices/pci0000:00/0000:00:05.0/virtio1/block/sda/%s/partition" % name, "1\n")
            self.link("sys/dev/block/" + number, "sys/devices/pci0000:00/0000:00:05.0/virtio1/block/sda/" + name)
        self.device("pci0000:00/0000:00:04.0/virtio0", "virtio:d00000001v00001AF4", "virtio_net", module="virtio_net")
        self.put("sys/devices/pci0000:00/0000:00:04.0/virtio0/net/eth0/address", "52:54:00:12:34:56\n")
        self.link("sys/class/net/eth0", "sys/devices/pci0000:00/0000:00:04.0/virtio0/net/eth0")
        self.put("sys/module/xfs/initstate", "live\n")
        self.set_env(saved_entry=title(OLD))
        self.put_tool("bin/grub2-editenv", EDITENV % dict(python=sys.executable))
        self.put_tool("bin/systemctl", SYSTEMCTL % dict(root=self.root))

    def put_image(self, version, raw):
        with open(self.path("boot/initramfs-%s.img" % version), "wb") as stream:
            stream.write(raw)

    def device(self, place, alias, driver, module=None):
        self.put("sys/devices/%s/modalias" % place, alias + "\n")
        self.put("sys/bus/drivers/%s/uevent" % driver, "")
        self.link("sys/devices/%s/driver" % place, "sys/bus/drivers/" + driver)
        if module:
            self.put("sys/module/%s/initstate" % module, "live\n")
            self.link("sys/bus/drivers/%s/module" % driver, "sys/module/" + module)

    def link(self, name, target):
        if not os.path.isdir(os.path.dirname(self.path(name))):
            os.makedirs(os.path.dirname(self.path(name)))
        os.symlink(self.path(target), self.path(name))

    def set_env(self, **variables):
        self.put("boot/grub2/grubenv", _grub.environment_text(sorted(variables.items())))

    def variables(self):
        with open(self.path("boot/grub2/grubenv"), "rb") as stream:
            return dict(_grub.environment(stream.read().decode("utf-8"), 1024)[0])

    def boot_trial(self):
        """What GRUB and the kernel do with an armed trial."""
        self.set_env(saved_entry=title(OLD), next_entry="")
        self.put("proc/sys/kernel/osrelease", NEW + "\n")
        self.put("proc/cmdline", "root=/dev/sda2 ro quiet " + " ".join(_trial.ARGUMENTS) + "\n")
        self.put("proc/sys/kernel/panic", "15\n")

    def files(self):
        """Every file that is neither a backup nor a log."""
        found = {}
        for place, unused, names in os.walk(self.root):
            for name in names:
                path = os.path.join(place, name)
                if not path.startswith(self.path("backups")) and name != "systemctl.log" and not os.path.islink(path):
                    with open(path, "rb") as stream:
                        found[path] = stream.read()
        return found


@pytest.fixture
def host(tmpdir, monkeypatch):
    return Host(tmpdir, monkeypatch)


def codes(result, blocks=True):
    return [one["code"] for one in result["findings"] if one["blocks"] == blocks]


def test_a_host_without_a_flaw_has_nothing_against_it_and_nothing_is_written(host):
    was = host.files()
    result = host.run(state="checked", kernel=NEW)
    assert not result["failed"] and not result["changed"] and result["findings"] == []
    assert host.files() == was


def test_armed_boots_it_once_and_leaves_the_default_and_grub_cfg(host):
    was = host.files()
    planned = host.run(check=True, state="armed", kernel=NEW)
    assert planned["changed"] and host.files() == was
    result = host.run(state="armed", kernel=NEW, login_timeout=77)
    assert not result["failed"], result
    assert result["trial"] == dict(kernel=NEW, old_kernel="", release=OLD, armed=True, running=False, record="", reason="")
    assert host.variables() == dict(saved_entry=title(OLD), next_entry=_trial.title(NEW))
    now = host.files()
    new = set(now) - set(was)
    assert sorted(os.path.relpath(path, host.root) for path in new) == [
        "boot/grub2/custom.cfg", "etc/el7ops-kmem/trial-guard", "etc/el7ops-kmem/trial.json",
        "etc/systemd/system/el7ops-kmem-trial.service", "etc/systemd/system/sysinit.target.d/el7ops-kmem-trial.conf"]
    assert now[host.path("boot/grub2/grub.cfg")] == was[host.path("boot/grub2/grub.cfg")]
    assert b"limit=77" in now[host.path("etc/el7ops-kmem/trial-guard")]
    assert [action["what"] for action in planned["actions"]] == [action["what"] for action in result["actions"]]
    again = host.run(state="armed", kernel=NEW, login_timeout=77)
    assert not again["failed"] and not again["changed"] and again["trial"]["armed"]
    # taken away, nothing is left of it
    gone = host.run(state="removed")
    assert not gone["failed"] and host.files() == was
    assert not host.run(state="removed")["changed"]


def test_seen_and_confirmed_only_on_the_kernel_on_trial(host):
    was = host.files()
    assert "not on trial" in host.run(state="confirmed", kernel=NEW)["msg"]
    host.run(state="armed", kernel=NEW)
    seen = host.run(state="seen")
    assert not seen["failed"] and not seen["changed"] and seen["trial"]["kernel"] == NEW and not seen["trial"]["running"]
    host.boot_trial()
    assert host.run()["trial"]["running"]
    seen = host.run(state="seen")
    assert seen["changed"] and os.path.exists(host.path("run/el7ops-kmem-trial.seen")) and not host.run(state="seen")["changed"]
    assert "not on trial" in host.run(state="confirmed", kernel=OLD)["msg"]
    done = host.run(state="confirmed", kernel=NEW)
    assert not done["failed"], done
    left = set(host.files()) - set(was)
    assert [os.path.relpath(path, host.root) for path in left] == ["run/el7ops-kmem-trial.confirmed"]
    with open(host.path("proc/sys/kernel/panic")) as stream:
        assert stream.read() == "0\n"
    with open(host.path("systemctl.log")) as stream:
        assert stream.read() == "stop el7ops-kmem-trial.service\n"
    # as a run that was cut off here asks again
    again = host.run(state="confirmed", kernel=NEW)
    assert not again["failed"] and not again["changed"]


def test_a_kernel_that_panics_on_hard_lockups_by_the_trial_alone_does_not_for_good(host):
    host.put("boot/config-" + NEW, "# CONFIG_BOOTPARAM_HARDLOCKUP_PANIC is not set\n")
    assert not os.path.exists(host.path("proc/sys/kernel/hardlockup_panic"))  # the old kernel has no such file
    host.run(state="armed", kernel=NEW)
    host.boot_trial()
    host.put("proc/sys/kernel/hardlockup_panic", "1\n")
    assert not host.run(state="confirmed", kernel=NEW)["failed"]
    with open(host.path("proc/sys/kernel/hardlockup_panic")) as stream:
        assert stream.read() == "0\n"


@pytest.mark.parametrize("note", [True, False])
def test_removed_while_the_trial_runs_stops_the_unit_so_that_it_does_not_reboot_later(host, note):
    was = host.files()
    host.run(state="armed", kernel=NEW)
    host.boot_trial()
    if not note:
        host.put("etc/el7ops-kmem/trial.json", "{")
    planned = host.run(check=True, state="removed")
    assert planned["changed"] and not os.path.exists(host.path("systemctl.log"))
    gone = host.run(state="removed")
    assert not gone["failed"], gone
    assert "is stopped" in gone["changes"][0] and NEW in gone["changes"][0] and len(gone["changes"]) == 2 - note
    with open(host.path("systemctl.log")) as stream:
        assert stream.read() == "stop el7ops-kmem-trial.service\n"
    assert [os.path.relpath(path, host.root) for path in set(host.files()) - set(was)] == ["run/el7ops-kmem-trial.confirmed"]
    with open(host.path("proc/sys/kernel/panic")) as stream:
        assert stream.read() == ("0\n" if note else "15\n")
    assert not host.run(state="removed")["changed"]


def test_a_unit_that_cannot_be_stopped_keeps_the_trial_as_it_was(host):
    host.run(state="armed", kernel=NEW)
    host.boot_trial()
    was = host.files()
    host.put_tool("bin/systemctl", "#!/bin/sh\necho no bus >&2; exit 4\n")
    done = host.run(state="confirmed", kernel=NEW)
    assert done["failed"] and "no bus" in done["msg"] and "The host is as before" in done["msg"]
    now = host.files()
    now.pop(host.path("bin/systemctl")), was.pop(host.path("bin/systemctl"))
    assert now == was


def test_back_on_the_old_kernel_the_reason_is_told(host):
    host.run(state="armed", kernel=NEW)
    host.set_env(saved_entry=title(OLD), next_entry="")
    trial = host.run()["trial"]
    assert not trial["armed"] and not trial["running"] and "never reached the init system" in trial["reason"]
    host.put("etc/el7ops-kmem/trial-record", "reason=login\nuptime=602\n== systemctl --failed\nsshd.service failed\n")
    trial = host.run()["trial"]
    assert "nobody logged in" in trial["reason"] and "sshd.service failed" in trial["record"] and trial["old_kernel"] == OLD
    host.put("sys/fs/pstore/dmesg-efi-1", "<0>[ 4.0] Kernel panic - not syncing: Attempted to kill init!\n")
    assert "Attempted to kill init" in host.run()["trial"]["reason"]
    assert not host.run(state="removed")["failed"]
    assert host.run()["trial"] == dict(kernel="", old_kernel="", release=OLD, armed=False, running=False, record="", reason="")


JOURNALCTL = """#!/bin/sh
case "$*" in
*-k*) echo "Linux version %(kernel)s (mockbuild@x) (gcc version 9.3.1)" ;;
*) echo "Nov 25 02:11:09 web1 kernel: EXT4-fs error (device sda2)" ;;
esac
"""


@pytest.mark.parametrize("kernel, found", [(NEW, True), (OLD, False)])
def test_a_journal_that_is_kept_has_the_last_words_of_that_boot_alone(host, kernel, found):
    host.run(state="armed", kernel=NEW)
    host.set_env(saved_entry=title(OLD), next_entry="")
    host.put_tool("bin/journalctl", JOURNALCTL % dict(kernel=kernel))
    assert host.run()["trial"]["record"] == ""
    host.put("var/log/journal/id/system.journal", "")
    assert ("EXT4-fs error" in host.run()["trial"]["record"]) == found


def no_custom(host):
    host.put("boot/grub2/grub.cfg", fixture("centos-7.8-bios.cfg").replace("source", "#source"))


def no_once(host):
    host.put("boot/grub2/grub.cfg", fixture("centos-7.8-bios.cfg").replace("next_entry", "other"))


def by_number(host):
    host.put("boot/grub2/grub.cfg", fixture("centos-7.8-bios.cfg").replace('"${saved_entry}"', '"1"'))


def password(host):
    host.put("boot/grub2/user.cfg", "GRUB2_PASSWORD=grub.pbkdf2.sha512.1\n")
    host.put("boot/grub2/grub.cfg", fixture("centos-7.8-bios.cfg").replace("--unrestricted ", ""))


def volume(host):
    host.put("sys/devices/virtual/block/dm-0/dm/uuid", "LVM-abc\n")
    os.unlink(host.path("sys/dev/block/8:1"))
    host.link("sys/dev/block/8:1", "sys/devices/virtual/block/dm-0")


def btrfs(host):
    host.put("proc/self/mountinfo", (MOUNTS % host.root).replace("xfs /dev/sda1", "btrfs /dev/sda1"))


def secure_boot(host):
    host.put("sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", "\6\0\0\0\1")
    host.put("etc/grub2-efi.cfg", fixture("centos-7.8-bios.cfg"))
    host.put("etc/grubenv", _grub.environment_text([("saved_entry", title(OLD))]))


def stale_link(host):
    """UEFI, and /boot/grub2/grubenv is a file of its own, as after a restore from a backup that follows links."""
    host.put("sys/firmware/efi/fw_platform_size", "64\n")
    host.put("etc/grub2-efi.cfg", fixture("centos-7.8-bios.cfg"))
    host.put("etc/grubenv", _grub.environment_text([("saved_entry", title(OLD))]))


# the kernel itself would start with these; the others would leave a host that does not come up, or that nobody can reach
SURVIVABLE = set(["custom_cfg", "one_shot", "default", "environment_block", "grubenv_link"])
FLAWS = [
    (no_custom, ["custom_cfg"]), (no_once, ["one_shot"]), (by_number, ["default"]), (password, ["password"]), (volume, ["environment_block"]),
    (btrfs, ["environment_block"]), (lambda host: host.set_env(saved_entry=title(NEW)), ["default"]),
    (lambda host: host.set_env(), ["default"]), (lambda host: host.put_image(NEW, gzip(IMAGE)[:-60]), ["initramfs"]),
    (lambda host: host.put_image(NEW, gzip(cpio("init"))), ["root_driver", "root_driver"]),
    (lambda host: host.put("lib/modules/%s/modules.alias" % NEW, LOADABLE), ["network_driver"]),
    (lambda host: os.unlink(host.path("lib/modules/%s/modules.alias" % NEW)), ["modules"]), (secure_boot, ["secure_boot"]),
    (stale_link, ["grubenv_link"]),
]  # fmt: skip


@pytest.mark.parametrize("flaw, wanted", FLAWS)
def test_what_would_not_lead_back_is_refused_with_a_way_out(host, flaw, wanted):
    flaw(host)
    was = host.files()
    result = host.run(state="checked", kernel=NEW)
    assert not result["failed"] and [code for code in codes(result) if code in wanted] == wanted, result
    assert all(one["survivable"] is (one["code"] in SURVIVABLE) for one in result["findings"] if one["blocks"])
    armed = host.run(state="armed", kernel=NEW)
    assert armed["failed"] and "a trial boot of kernel %s is not possible" % NEW in armed["msg"] and "Nothing was written." in armed["msg"]
    assert host.files() == was


def test_a_block_without_room_is_counted_before_anything_is_written(host):
    # with the line of comment that grub2-editenv 2.04 begins it with, and keeps
    comment = "# WARNING: Do not edit this file by tools other than grub-editenv!!!\n"
    lines = _grub.SIGNATURE + comment + "saved_entry=%s\nfiller=" % title(OLD)
    host.put("boot/grub2/grubenv", lines + "x" * (_grub.BLOCK_SIZE - len(lines) - 61) + "\n" + "#" * 60)
    was = host.files()
    armed = host.run(state="armed", kernel=NEW)
    assert armed["failed"] and "do not fit into 1024 bytes" in armed["msg"] and "unset NAME" in armed["msg"], armed
    assert host.files() == was


def test_what_only_limits_it_is_said(host):
    host.put("etc/default/grub", fixture("default-grub").replace("GRUB_TIMEOUT=5", "GRUB_TIMEOUT=0"))
    os.unlink(host.path("dev/watchdog0"))
    os.unlink(host.path("usr/lib/dracut/modules.d/98systemd/dracut-emergency.sh"))
    os.unlink(host.path("lib/modules/%s/modules.builtin.modinfo" % NEW))
    host.put_image(NEW, b"\xfd7zXZ\x00" + b"\x11" * 64)
    result = host.run(state="checked", kernel=NEW)
    assert codes(result) == []
    assert sorted(codes(result, False)) == ["hidden_menu", "initramfs_hang", "initramfs_unread", "root_driver_unsure", "watchdog"]
    assert all(one["survivable"] for one in result["findings"])
    texts = dict((one["code"], one["text"]) for one in result["findings"])
    assert "GRUB_TIMEOUT=5" in texts["hidden_menu"] and "grub2-mkconfig -o " + host.path("boot/grub2/grub.cfg") in texts["hidden_menu"]
    assert "would not help before systemd" in texts["watchdog"] and "waits for ever" in texts["initramfs_hang"]


def test_a_stale_grubenv_says_how_to_make_it_a_link(host):
    stale_link(host)
    (found,) = [one for one in host.run(state="checked", kernel=NEW)["findings"] if one["code"] == "grubenv_link"]
    assert "ln -sf %s %s" % (host.path("etc/grubenv"), host.path("boot/grub2/grubenv")) in found["text"]


def test_a_mokutil_that_fails_is_no_key(host):
    secure_boot(host)
    host.put_tool("bin/mokutil", "#!/bin/sh\necho EFI variables are not supported >&2; exit 255\n")
    assert "secure_boot" in codes(host.run(state="checked", kernel=NEW))


def test_defaults_that_cannot_be_read_are_said_and_no_traceback(host):
    host.put("etc/default/grub", "if true; then GRUB_TIMEOUT=5; fi\n")
    result = host.run(state="checked", kernel=NEW)
    assert not result["failed"] and codes(result) == [] and codes(result, False) == ["hidden_menu"]
    assert "cannot be told (line 1" in result["findings"][0]["text"]

    def odd(*dummy):
        raise _grub.GrubError("line 7: a quote opens that is never closed")

    host.monkeypatch.setattr(_trial, "entry", odd)
    armed = host.run(state="armed", kernel=NEW)
    assert armed["failed"] and "line 7" in armed["msg"] and "Nothing was written" in armed["msg"]


def test_the_running_kernel_is_not_tried(host):
    assert "runs already" in host.run(state="armed", kernel=OLD)["msg"]


@pytest.mark.parametrize("broken", ["", "{", "[]", json.dumps({"kernel": 5})])
def test_a_note_that_is_damaged_is_no_trial(host, broken):
    host.put("etc/el7ops-kmem/trial.json", broken)
    result = host.run()
    assert not result["failed"] and not result["trial"]["running"]
