# SPDX-License-Identifier: GPL-3.0-or-later
"""The module on a tree that stands for a host, with stand-ins of grubby and grub2-mkconfig, honest and lying ones."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import os
import signal

import pytest
from ansible_collections.el7ops.kmem.plugins.module_utils import _door, _grub
from ansible_collections.el7ops.kmem.plugins.modules import kernel_cmdline
from ansible_collections.el7ops.kmem.tests.unit.plugins.modules.harness import Tree

ENTRY = """menuentry 'CentOS Linux (%(v)s) 7 (Core)' --class centos --unrestricted $menuentry_id_option 'gnulinux-%(v)s' {
\tload_video
\tlinux16 /vmlinuz-%(v)s root=/dev/mapper/centos-root ro %(args)s
\tinitrd16 /initramfs-%(v)s.img
}
"""
OLD, NEW, RESCUE = "3.10.0-957.el7.x86_64", "3.10.0-1127.el7.x86_64", "0-rescue-0123456789abcdef"
DEFAULTS = 'GRUB_DEFAULT=saved\nGRUB_CMDLINE_LINUX="crashkernel=auto quiet"\n'

# grubby by its contract, for the tests: every entry in one go, as seen on 8.28
GRUBBY = r"""#!/bin/bash
cfg=%(config)s
for o in "$@"; do case $o in --args=*) a=${o#--args=};; --remove-args=*) r=${o#--remove-args=};; esac; done
if [ -n "$r" ]; then sed -i -E "/^\tlinux16/s# $r=[^ ]*##" $cfg; fi
if [ -n "$a" ]; then n=${a%%%%=*}; sed -i -E "/^\tlinux16.* $n=/{s# $n=[^ ]*# $a#;b};/^\tlinux16/s#\$# $a#" $cfg; fi
exit 0
"""
LIES = {
    "does nothing": "#!/bin/sh\nexit 0\n",
    "fails": "#!/bin/sh\necho 'grubby fatal error: unable to find a suitable template'\nexit 1\n",
    "damages another argument": GRUBBY.replace("exit 0", "sed -i 's/crashkernel=auto/crashkernel=/' $cfg; exit 0"),
    "loses an entry": GRUBBY.replace("exit 0", "sed -i '/rescue/,$d' $cfg; exit 0"),
    "leaves half a file": "#!/bin/sh\nhead -c 200 %(config)s > %(config)s.x; mv %(config)s.x %(config)s; exit 0\n",
}
MKCONFIG = """#!/bin/sh
. %(root)s/etc/default/grub
sed "s#ro .*#ro $GRUB_CMDLINE_LINUX#" %(config)s > "$2"
"""


class Host(Tree):
    """A tree with both files, and the module run on it."""

    def __init__(self, root, monkeypatch):
        super(Host, self).__init__(root, monkeypatch, kernel_cmdline)
        self.config, self.defaults = self.path("boot/grub2/grub.cfg"), self.path("etc/default/grub")
        self.put("boot/grub2/grub.cfg", "".join(ENTRY % dict(v=v, args="crashkernel=auto quiet") for v in (NEW, OLD, RESCUE)))
        self.put("etc/default/grub", DEFAULTS)
        self.put("proc/cmdline", "root=/dev/mapper/centos-root ro quiet\n")
        self.tool("sbin/grubby", GRUBBY)

    def tool(self, name, text):
        self.put_tool(name, text % dict(config=self.config, root=self.root))

    def texts(self):
        return tuple(open(path).read() for path in (self.defaults, self.config))


@pytest.fixture(name="host")
def fixture_host(tmpdir, monkeypatch):
    return Host(tmpdir, monkeypatch)


def nokmem_in(text):
    return [("nokmem" in entry["args"]) for entry in _grub.entries(text)]


def test_every_entry_and_the_defaults_get_it_and_lose_it(host):
    before = host.texts()
    planned = host.run(check=True)
    assert planned["changed"] and host.texts() == before and not os.path.exists(host.path("backups"))
    done = host.run()
    assert done["changed"] and done["reboot_required"] and not done["running"]
    assert nokmem_in(host.texts()[1]) == [True, True, True] and "quiet cgroup.memory=nokmem" in host.texts()[0]
    assert planned["diff"] == done["diff"] and [a["what"] for a in planned["actions"]] == [a["what"] for a in done["actions"]]
    assert sorted(open(copy["backup"]).read() for copy in done["backups"]) == sorted(before)
    assert [(e["before"].count("nokmem"), e["after"].count("nokmem")) for e in done["entries"]] == [(0, 1)] * 3
    for dummy in range(3):
        again = host.run()
        assert not again["changed"] and again["actions"] == [] and again["reboot_required"]
    assert len(os.listdir(host.path("backups"))) == 1
    assert host.run(state="absent")["changed"] and host.texts() == before


def test_where_the_journal_cannot_be_written_out_the_change_stands_and_it_is_said(host, monkeypatch):
    said = []
    monkeypatch.setattr(_door._disk, "settle", lambda directory: "Operation not permitted")
    monkeypatch.setattr(kernel_cmdline.AnsibleModule, "warn", lambda dummy, text: said.append(text))
    done = host.run()
    assert done["changed"] and not done["failed"] and [action["done"] for action in done["actions"]].count(False) == 1
    assert len(said) == 1 and "Operation not permitted" in said[0] and "systemctl reboot" in said[0]


def test_values_that_are_there_are_merged_not_replaced(host):
    host.put("boot/grub2/grub.cfg", "".join(ENTRY % dict(v=v, args=args) for v, args in (
        (NEW, "cgroup.memory=nosocket"), (OLD, "cgroup.memory=nosocket cgroup.memory=nobpf cgroup_memory=1"), (RESCUE, "x"))))  # fmt: skip
    before = host.texts()
    assert host.run()["changed"]
    assert [e["args"] for e in _grub.entries(host.texts()[1])] == [
        "root=/dev/mapper/centos-root ro cgroup.memory=nosocket,nokmem",
        "root=/dev/mapper/centos-root ro cgroup.memory=nosocket cgroup.memory=nobpf,nokmem cgroup_memory=1",
        "root=/dev/mapper/centos-root ro x cgroup.memory=nokmem",
    ]
    assert host.run(state="absent")["changed"] and host.texts() == before


@pytest.mark.parametrize("lie", sorted(LIES))
def test_a_grubby_that_lies_or_fails_leaves_the_host_as_it_was(host, lie):
    before = host.texts()
    host.tool("sbin/grubby", LIES[lie])
    result = host.run()
    assert result["failed"] and "The host is as before" in result["msg"] and "run again" in result["msg"]
    assert host.texts() == before


def test_without_grubby_grub2_mkconfig_makes_the_entries(host):
    os.unlink(host.path("sbin/grubby"))
    host.tool("sbin/grub2-mkconfig", MKCONFIG)
    assert host.run()["changed"] and nokmem_in(host.texts()[1]) == [True, True, True]
    assert not host.run()["changed"]
    assert sorted(os.listdir(host.path("boot/grub2"))) == ["grub.cfg"]


@pytest.mark.parametrize("tool", ["#!/bin/sh\nexit 1\n", "#!/bin/sh\n: > \"$2\"\n", "#!/bin/sh\nhead -5 %(config)s > \"$2\"\n"])
def test_a_grub2_mkconfig_that_fails_leaves_the_host_as_it_was(host, tool):
    before = host.texts()
    os.unlink(host.path("sbin/grubby"))
    host.tool("sbin/grub2-mkconfig", tool)
    result = host.run()
    assert result["failed"] and host.texts() == before and sorted(os.listdir(host.path("boot/grub2"))) == ["grub.cfg"]


def test_cut_between_the_two_files_the_next_run_goes_on(host):
    host.put("etc/default/grub", DEFAULTS.replace("quiet", "quiet cgroup.memory=nokmem"))
    assert host.run()["changed"] and nokmem_in(host.texts()[1]) == [True, True, True]
    assert not host.run()["changed"]


def test_a_boot_mounted_read_only_is_refused_before_anything(host):
    before = host.texts()
    real = os.statvfs

    class ReadOnly(object):
        f_flag, f_bavail, f_frsize = 1, 1 << 20, 4096

    host.monkeypatch.setattr(_door.os, "statvfs", lambda path: ReadOnly if "grub2" in path else real(path))
    result = host.run()
    assert result["failed"] and "remount,rw" in result["msg"] and "Nothing was written" in result["msg"]
    assert host.texts() == before and not os.path.exists(host.path("backups"))


@pytest.mark.parametrize("change, words", [
    (lambda host: os.unlink(host.config), "/boot/grub2/grub.cfg is not there"),
    (lambda host: host.put("boot/grub2/grub.cfg", "configfile /x\n"), "only loads /x"),
    (lambda host: host.put("etc/default/grub", 'GRUB_CMDLINE_LINUX="quiet\n'), "never closed"),
    (lambda host: os.unlink(host.path("sbin/grubby")), "yum install grubby"),
])  # fmt: skip
def test_refused_with_a_way_out(host, change, words):
    change(host)
    result = host.run()
    assert result["failed"] and words in result["msg"] and "Nothing was written" in result["msg"]


def test_the_firmware_decides_which_configuration(host):
    os.makedirs(host.path("sys/firmware/efi"))
    host.put("boot/efi/EFI/centos/grub.cfg", ENTRY % dict(v=NEW, args="quiet"))
    host.put("etc/os-release", 'ID="centos"\n')
    result = host.run(check=True)
    assert (result["firmware"], result["config"]) == ("uefi", os.path.realpath(host.path("boot/efi/EFI/centos/grub.cfg")))
    os.makedirs(host.path("boot/efi/EFI/other"))
    os.symlink(host.path("boot/efi/EFI/centos/grub.cfg"), host.path("etc/grub2-efi.cfg"))
    host.put("etc/os-release", 'ID="other"\n')
    assert host.run(check=True)["config"] == os.path.realpath(host.path("boot/efi/EFI/centos/grub.cfg"))


def test_links_and_modes_survive(host):
    os.rename(host.defaults, host.path("etc/real"))
    os.symlink(host.path("etc/real"), host.defaults)
    os.chmod(host.path("etc/real"), 0o600)
    assert host.run()["changed"]
    assert os.path.islink(host.defaults) and os.stat(host.path("etc/real")).st_mode & 0o777 == 0o600


@pytest.mark.parametrize("options", [dict(value="a b"), dict(value="a,b"), dict(argument='x"y')])
def test_odd_words_are_refused(host, options):
    before = host.texts()
    assert host.run(**options)["failed"] and host.texts() == before


def test_a_missing_etc_default_grub_is_made_and_left_alone_by_absent(host):
    os.unlink(host.defaults)
    assert not host.run(state="absent")["changed"] and not os.path.exists(host.defaults)
    planned = host.run(check=True)
    assert not os.path.exists(host.defaults)
    done = host.run()
    assert planned["diff"] == done["diff"]
    assert open(host.defaults).read().startswith('GRUB_CMDLINE_LINUX="cgroup.memory=nokmem"')
    assert os.stat(host.defaults).st_mode & 0o777 == 0o644
    assert not host.run()["changed"]


def test_a_missing_etc_default_grub_is_missing_again_after_a_failure(host):
    os.unlink(host.defaults)
    host.tool("sbin/grubby", LIES["does nothing"])
    assert host.run()["failed"] and not os.path.exists(host.defaults)


def test_what_grubby_gets_wrong_is_edited_in_place(host):
    host.put("boot/grub2/grub.cfg", ENTRY % dict(v=NEW, args='dyndbg="file cgroup.memory=x +p" cgroup.memory=a cgroup.memory=b -- s'))
    before = host.texts()
    planned, done = host.run(check=True), host.run()
    assert planned["diff"] == done["diff"] and "argv" not in done["actions"][-1]
    assert done["entries"][0]["after"].endswith('+p" cgroup.memory=a cgroup.memory=b,nokmem -- s')
    assert host.run(state="absent")["changed"] and host.texts() == before


def test_a_grubby_that_moves_the_argument_ends_with_the_promised_text(host):
    host.put("boot/grub2/grub.cfg", ENTRY % dict(v=NEW, args="cgroup.memory=nosocket  quiet"))
    host.tool("sbin/grubby", "#!/bin/sh\nsed -i '/linux16/s/cgroup.*/quiet cgroup.memory=nosocket,nokmem/' %(config)s\n")
    planned, done = host.run(check=True), host.run()
    assert planned["diff"] == done["diff"] and "cgroup.memory=nosocket,nokmem  quiet\n" in host.texts()[1]
    assert not host.run()["changed"]


def test_signals_in_the_middle_do_not_cut_it_in_half(host):
    for name in ("TERM", "HUP", "PIPE", "INT"):
        host.tool("sbin/grubby", "#!/bin/bash\nkill -%s $PPID\n" % name + GRUBBY.partition("\n")[2])
        old = signal.getsignal(signal.SIGTERM)
        assert host.run()["changed"] and nokmem_in(host.texts()[1]) == [True, True, True]
        assert signal.getsignal(signal.SIGTERM) == old
        assert host.run(state="absent")["changed"] and nokmem_in(host.texts()[1]) == [False, False, False]


def test_somebody_else_writes_at_the_same_time(host):
    real = kernel_cmdline.Host.preflight

    def meddle(self):
        real(self)
        host.put("etc/default/grub", DEFAULTS + "GRUB_TIMEOUT=9\n")

    host.monkeypatch.setattr(kernel_cmdline.Host, "preflight", meddle)
    result = host.run()
    assert result["failed"] and "somebody else" in result["msg"] and "GRUB_TIMEOUT=9" in host.texts()[0]
    assert nokmem_in(host.texts()[1]) == [False, False, False]


def test_an_undo_that_fails_says_so_loudly(host):
    host.tool("sbin/grubby", LIES["damages another argument"])
    real = kernel_cmdline.Host.install

    def install(self, path, content):
        if path == self.config:
            raise OSError(30, "Read-only file system")
        real(self, path, content)

    host.monkeypatch.setattr(kernel_cmdline.Host, "install", install)
    before = host.texts()
    result = host.run()
    assert result["failed"] and "DO NOT REBOOT" in result["msg"] and "cp -p " + host.path("backups") in result["msg"]
    assert host.texts()[0] == before[0]  # the one that could be put back was


def test_whatever_breaks_in_between_is_undone(host):
    def broken(*dummy):
        raise KeyError("a bug")

    host.monkeypatch.setattr(kernel_cmdline.Host, "write_entries", broken)
    before = host.texts()
    assert "The host is as before" in host.run()["msg"] and host.texts() == before


def test_backups_are_for_root_alone_and_keep_the_mode(host):
    os.chmod(host.config, 0o600)
    done = host.run()
    folder = os.path.dirname(done["backups"][0]["backup"])
    assert os.stat(folder).st_mode & 0o777 == 0o700
    assert [os.stat(copy["backup"]).st_mode & 0o777 for copy in done["backups"]] == [0o644, 0o600]
    assert os.stat(host.config).st_mode & 0o777 == 0o600


def test_no_backup_no_write(host):
    host.put("file", "")
    before = host.texts()
    result = host.run(backup_dir=host.path("file/backups"))
    assert result["failed"] and "backup_dir" in result["msg"] and host.texts() == before


def test_full_disk_and_other_user_are_refused_before_anything(host):
    real, before = os.statvfs, host.texts()

    class Full(object):
        f_flag, f_bavail, f_frsize = 0, 3, 4096

    host.monkeypatch.setattr(_door.os, "statvfs", lambda path: Full if "grub2" in path else real(path))
    assert "df -h" in host.run()["msg"]
    host.monkeypatch.setattr(_door.os, "statvfs", real)
    host.monkeypatch.setattr(_door.os, "geteuid", lambda: 1000)
    assert "become" in host.run()["msg"]
    assert host.texts() == before and not os.path.exists(host.path("backups"))


def test_a_boot_that_is_not_mounted_is_named(host):
    os.unlink(host.config)
    host.put("etc/fstab", "UUID=1 / xfs defaults 0 0\nUUID=2 %s xfs defaults 0 0\n" % host.path("boot"))
    result = host.run()
    assert result["failed"] and "mount " + host.path("boot") in result["msg"] and "not mounted" in result["msg"]


def test_a_uefi_configuration_that_loads_another_is_followed(host):
    os.makedirs(host.path("sys/firmware/efi"))
    host.put("etc/os-release", "ID=rhel\n")
    host.put("boot/efi/EFI/redhat/grub.cfg", "set prefix=($dev)/grub2\nexport $prefix\nconfigfile $prefix/grub.cfg\n")
    result = host.run()
    assert result["changed"] and result["config"] == host.config and nokmem_in(host.texts()[1]) == [True, True, True]


def test_entries_kept_elsewhere_are_refused(host):
    host.put("boot/grub2/grub.cfg", "insmod blscfg\nblscfg\n")
    result = host.run()
    assert result["failed"] and "loader/entries" in result["msg"]


def test_running_is_told_from_the_kernels_own_line(host):
    host.run()
    host.put("proc/cmdline", "ro cgroup.memory=nosocket,nokmem quiet\n")
    assert (host.run()["running"], host.run()["reboot_required"]) == (True, False)
    host.put("proc/cmdline", "ro cgroup_memory=nokmem\n")
    assert (host.run()["running"], host.run()["reboot_required"]) == (False, True)
