# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading grub.cfg, written after the format that EL7's grub2-mkconfig makes."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import io
import os

import pytest
from ansible_collections.el7ops.kmem.plugins.module_utils import _grub

CONFIG = r"""### BEGIN /etc/grub.d/00_header ###
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
fi
function load_video {
  insmod all_video
}
### BEGIN /etc/grub.d/10_linux ###
menuentry 'CentOS Linux (3.10.0-1127.el7.x86_64) 7 (Core)' --class centos --unrestricted $menuentry_id_option 'gnulinux-3.10.0' {
    load_video
    if [ x$feature_platform_search_hint = xy ]; then
      search --no-floppy --fs-uuid --set=root 11111111
    fi
    linux16 /vmlinuz-3.10.0-1127.el7.x86_64 root=/dev/mapper/centos-root ro crashkernel=auto quiet LANG=en_US.UTF-8
    initrd16 /initramfs-3.10.0-1127.el7.x86_64.img
}
submenu 'Advanced options' $menuentry_id_option 'advanced' {
    menuentry "It's \"old\"" {
        linuxefi    /boot/vmlinuz-3.10.0-957.el7.x86_64    root=/dev/sda1
        initrdefi /boot/initramfs-3.10.0-957.el7.x86_64.img
    }
    menuentry 'memtest' {
        chainloader +1
    }
    menuentry 'Rescue' {
        linux /vmlinuz-0-rescue-abc
    }
}
menuentry 'Windows' {
    chainloader +1
}
menuentry 'Last' {
    linux /vmlinuz-5.4.278-1.el7.elrepo.x86_64 ro
}
""".replace("    ", "\t")


def test_entries():
    found = _grub.entries(CONFIG)
    assert [(e["index"], e["title"], e["version"], e["submenu"], e["rescue"]) for e in found] == [
        ("0", "CentOS Linux (3.10.0-1127.el7.x86_64) 7 (Core)", "3.10.0-1127.el7.x86_64", [], False),
        ("1>0", 'It\'s "old"', "3.10.0-957.el7.x86_64", ["Advanced options"], False),
        ("1>2", "Rescue", "0-rescue-abc", ["Advanced options"], True),
        ("3", "Last", "5.4.278-1.el7.elrepo.x86_64", [], False),
    ]
    assert found[0]["args"] == "root=/dev/mapper/centos-root ro crashkernel=auto quiet LANG=en_US.UTF-8"
    assert [e["initrd"] for e in found][1:] == ["/boot/initramfs-3.10.0-957.el7.x86_64.img", "", ""]
    assert all(CONFIG[slice(*e["span"])].endswith(e["args"]) for e in found)


def test_a_change_touches_the_arguments_alone():
    after = _grub.change_entries(CONFIG, "cgroup.memory", "nokmem", "present")
    assert after.replace(" cgroup.memory=nokmem", "") == CONFIG
    assert _grub.wrong_entries(_grub.entries(CONFIG), _grub.entries(after), "cgroup.memory", "nokmem", "present") == []
    assert len(_grub.wrong_entries(_grub.entries(CONFIG), _grub.entries(CONFIG), "cgroup.memory", "nokmem", "present")) == 4


@pytest.mark.parametrize("args, state, calls", [
    (["ro", "ro"], "present", [["--update-kernel=ALL", "--args=cgroup.memory=nokmem"]]),
    (["cgroup.memory=a", "cgroup.memory=a"], "present", [["--update-kernel=ALL", "--args=cgroup.memory=a,nokmem"]]),
    (["cgroup.memory=a", "ro"], "present", [
        ["--update-kernel=/boot/vmlinuz-0", "--args=cgroup.memory=a,nokmem"], ["--update-kernel=/boot/vmlinuz-1", "--args=cgroup.memory=nokmem"]]),
    (["cgroup.memory=nokmem", "ro"], "present", [["--update-kernel=ALL", "--args=cgroup.memory=nokmem"]]),
    (["cgroup.memory=a,nokmem", "ro"], "present", [["--update-kernel=/boot/vmlinuz-1", "--args=cgroup.memory=nokmem"]]),
    (["cgroup.memory=nokmem", "cgroup.memory=nokmem"], "absent", [["--update-kernel=ALL", "--remove-args=cgroup.memory"]]),
    (["cgroup.memory=nokmem", "cgroup.memory=a"], "absent", [["--update-kernel=/boot/vmlinuz-0", "--remove-args=cgroup.memory"]]),
    (["cgroup.memory=a,nokmem"], "absent", [["--update-kernel=ALL", "--args=cgroup.memory=a"]]),
    (["cgroup.memory=a cgroup.memory=b"], "present", None),  # grubby cannot tell the two apart
    (["cgroup.memory=nokmem"], "present", []),
])  # fmt: skip
def test_grubby_calls(args, state, calls):
    text = "".join("menuentry 'k%d' {\n linux16 /vmlinuz-%d %s\n}\n" % (n, n, one) for n, one in enumerate(args))
    assert _grub.grubby_calls(_grub.entries(text), "cgroup.memory", "nokmem", state) == calls


CASES = [  # (before, after adding[, after taking it away again, where that is not the first])
    ('GRUB_CMDLINE_LINUX="quiet"\n', 'GRUB_CMDLINE_LINUX="quiet cgroup.memory=nokmem"\n'),
    ("GRUB_CMDLINE_LINUX='quiet'\n", "GRUB_CMDLINE_LINUX='quiet cgroup.memory=nokmem'\n"),
    ('GRUB_CMDLINE_LINUX="cgroup.memory=nosocket quiet"\n', 'GRUB_CMDLINE_LINUX="cgroup.memory=nosocket,nokmem quiet"\n'),
    ('GRUB_CMDLINE_LINUX="cgroup_memory=1 quiet"\n', 'GRUB_CMDLINE_LINUX="cgroup_memory=1 quiet cgroup.memory=nokmem"\n'),
    ('GRUB_CMDLINE_LINUX="quiet" # kept\n', 'GRUB_CMDLINE_LINUX="quiet cgroup.memory=nokmem" # kept\n'),
    ('GRUB_CMDLINE_LINUX="quiet \\\n  rhgb"\n', 'GRUB_CMDLINE_LINUX="quiet \\\n  rhgb cgroup.memory=nokmem"\n'),
    ('GRUB_CMDLINE_LINUX="quiet"\r\nGRUB_TIMEOUT=5\r\n', 'GRUB_CMDLINE_LINUX="quiet cgroup.memory=nokmem"\r\nGRUB_TIMEOUT=5\r\n'),
    ('GRUB_CMDLINE_LINUX="quiet"', 'GRUB_CMDLINE_LINUX="quiet cgroup.memory=nokmem"'),
    ('export GRUB_CMDLINE_LINUX="quiet"\n', 'export GRUB_CMDLINE_LINUX="quiet cgroup.memory=nokmem"\n'),
    ('GRUB_CMDLINE_LINUX="old"\nGRUB_CMDLINE_LINUX="new"\n', 'GRUB_CMDLINE_LINUX="old"\nGRUB_CMDLINE_LINUX="new cgroup.memory=nokmem"\n'),
    ('GRUB_CMDLINE_LINUX="a"\nGRUB_CMDLINE_LINUX_DEFAULT="cgroup.memory=nosocket"\n',
     'GRUB_CMDLINE_LINUX="a"\nGRUB_CMDLINE_LINUX_DEFAULT="cgroup.memory=nosocket,nokmem"\n'),
]  # fmt: skip


@pytest.mark.parametrize("before, after", CASES)
def test_defaults_in_the_spellings_people_have(before, after):
    assert _grub.change_defaults(before, "cgroup.memory", "nokmem", "present")[0] == after
    assert _grub.change_defaults(after, "cgroup.memory", "nokmem", "present") == (after, [])
    assert _grub.change_defaults(after, "cgroup.memory", "nokmem", "absent")[0] == before


@pytest.mark.parametrize("before", ["", "GRUB_TIMEOUT=5\n", "GRUB_TIMEOUT=5", '#GRUB_CMDLINE_LINUX="x"\n', "A=1\r\n"])
def test_defaults_without_the_variable_get_a_line(before):
    after = _grub.change_defaults(before, "cgroup.memory", "nokmem", "present")[0]
    assert after.startswith(before) and 'GRUB_CMDLINE_LINUX="cgroup.memory=nokmem"' in after
    assert after.endswith("\n")
    assert after.count("\r") == (after.count("\n") if "\r" in before else 0)
    assert _grub.change_defaults(after, "cgroup.memory", "nokmem", "absent")[0] == before


@pytest.mark.parametrize("text", [
    'GRUB_CMDLINE_LINUX="quiet\n', 'if true; then\nGRUB_CMDLINE_LINUX="quiet"\nfi\n', 'GRUB_CMDLINE_LINUX="$(unclosed"\n',
    'GRUB_CMDLINE_LINUX="quiet" trailing\n',
])  # fmt: skip
def test_defaults_that_cannot_be_understood_are_refused_with_their_line(text):
    with pytest.raises(_grub.GrubError) as failure:
        _grub.change_defaults(text, "cgroup.memory", "nokmem", "present")
    assert "line " in str(failure.value)


MORE_CASES = [
    # nothing quoted: a blank needs a backslash
    ("GRUB_CMDLINE_LINUX=quiet\n", "GRUB_CMDLINE_LINUX=quiet\\ cgroup.memory=nokmem\n"),
    ("GRUB_CMDLINE_LINUX=\n", "GRUB_CMDLINE_LINUX=cgroup.memory=nokmem\n"),
    ("GRUB_CMDLINE_LINUX=cgroup.memory=a\n", "GRUB_CMDLINE_LINUX=cgroup.memory=a,nokmem\n"),
    ('GRUB_CMDLINE_LINUX=""\n', 'GRUB_CMDLINE_LINUX="cgroup.memory=nokmem"\n'),
    ("GRUB_CMDLINE_LINUX=''", "GRUB_CMDLINE_LINUX='cgroup.memory=nokmem'"),
    ('  GRUB_CMDLINE_LINUX="quiet "\n', '  GRUB_CMDLINE_LINUX="quiet cgroup.memory=nokmem "\n'),
    ('GRUB_CMDLINE_LINUX="quiet"; A=1\n', 'GRUB_CMDLINE_LINUX="quiet cgroup.memory=nokmem"; A=1\n'),
    # several segments glued together
    ("GRUB_CMDLINE_LINUX=\"ro \"'quiet'\n", "GRUB_CMDLINE_LINUX=\"ro \"'quiet cgroup.memory=nokmem'\n"),
    # escapes and quotes inside the value
    ('GRUB_CMDLINE_LINUX="dyndbg=\\"file foo +p\\" ro"\n', 'GRUB_CMDLINE_LINUX="dyndbg=\\"file foo +p\\" ro cgroup.memory=nokmem"\n'),
    ('GRUB_CMDLINE_LINUX="a=\\$b \\`c"\n', 'GRUB_CMDLINE_LINUX="a=\\$b \\`c cgroup.memory=nokmem"\n'),
    ('GRUB_CMDLINE_LINUX="ro -- single"\n', 'GRUB_CMDLINE_LINUX="ro cgroup.memory=nokmem -- single"\n'),
    ('GRUB_CMDLINE_LINUX="cgroup.memory=\\\na ro"\r\n', 'GRUB_CMDLINE_LINUX="cgroup.memory=\\\na,nokmem ro"\r\n'),
    ('GRUB_CMDLINE_LINUX="quiet \\\r\n  rhgb"\r\n', 'GRUB_CMDLINE_LINUX="quiet \\\r\n  rhgb cgroup.memory=nokmem"\r\n'),
    # a value in steps
    ('GRUB_CMDLINE_LINUX="a"\nGRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX b"\n',
     'GRUB_CMDLINE_LINUX="a"\nGRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX b cgroup.memory=nokmem"\n'),
    ('GRUB_CMDLINE_LINUX="cgroup.memory=a"\nGRUB_CMDLINE_LINUX+=" b"\n',
     'GRUB_CMDLINE_LINUX="cgroup.memory=a,nokmem"\nGRUB_CMDLINE_LINUX+=" b"\n'),
    ('GRUB_CMDLINE_LINUX="a"\nGRUB_CMDLINE_LINUX+=""\n', 'GRUB_CMDLINE_LINUX="a cgroup.memory=nokmem"\nGRUB_CMDLINE_LINUX+=""\n'),
    ('GRUB_CMDLINE_LINUX="cgroup.memory=nokmem"\nGRUB_CMDLINE_LINUX=x\n',
     'GRUB_CMDLINE_LINUX="cgroup.memory=nokmem"\nGRUB_CMDLINE_LINUX=x\\ cgroup.memory=nokmem\n'),
    # an expansion inside another argument cannot hold ours
    ('GRUB_CMDLINE_LINUX="crashkernel=$(cat /x) ro"\n', 'GRUB_CMDLINE_LINUX="crashkernel=$(cat /x) ro cgroup.memory=nokmem"\n'),
    # a condition about something else
    ('if [ -f /x ]; then\n  GRUB_TIMEOUT=1\nfi\nGRUB_CMDLINE_LINUX="a"\n',
     'if [ -f /x ]; then\n  GRUB_TIMEOUT=1\nfi\nGRUB_CMDLINE_LINUX="a cgroup.memory=nokmem"\n'),
    ('[ -f /x ] && GRUB_TIMEOUT=1\necho GRUB_CMDLINE_LINUX=x\nGRUB_CMDLINE_LINUX="a"\n',
     '[ -f /x ] && GRUB_TIMEOUT=1\necho GRUB_CMDLINE_LINUX=x\nGRUB_CMDLINE_LINUX="a cgroup.memory=nokmem"\n'),
]  # fmt: skip


@pytest.mark.parametrize("before, after", MORE_CASES)
def test_defaults_in_the_spellings_few_people_have(before, after):
    test_defaults_in_the_spellings_people_have(before, after)


@pytest.mark.parametrize("text", [
    'GRUB_CMDLINE_LINUX="$OTHER ro"\n', "GRUB_CMDLINE_LINUX=\"`cat /x`\"\n", 'GRUB_CMDLINE_LINUX="cgroup.memory=$X"\n',
    '[ -f /x ] && GRUB_CMDLINE_LINUX="ro"\n', "f() {\nGRUB_CMDLINE_LINUX=x\n}\n", "function f {\nGRUB_CMDLINE_LINUX=x\n}\n",
    "( GRUB_CMDLINE_LINUX=x )\n", "case x in\n y) GRUB_CMDLINE_LINUX=x ;;\nesac\n", "cat <<E\nGRUB_CMDLINE_LINUX=x\nE\n",
    "for i in 1; do GRUB_CMDLINE_LINUX=x; done\n", "GRUB_CMDLINE_LINUX=\"it's\"\n", "true ||\nGRUB_CMDLINE_LINUX=x\n",
])  # fmt: skip
def test_defaults_that_nobody_can_be_sure_of_are_refused(text):
    for state in ("present", "absent"):
        with pytest.raises(_grub.GrubError) as failure:
            _grub.change_defaults(text, "cgroup.memory", "nokmem", state)
        assert "line 1" in str(failure.value) or "line 2" in str(failure.value)


def test_defaults_where_the_unknown_does_not_matter_any_more():
    text = 'GRUB_CMDLINE_LINUX="$OTHER cgroup.memory=nokmem"\n'
    assert _grub.change_defaults(text, "cgroup.memory", "nokmem", "present") == (text, [])


def test_defaults_absent_cleans_both_variables():
    text = 'GRUB_CMDLINE_LINUX="a cgroup.memory=nokmem"\nGRUB_CMDLINE_LINUX_DEFAULT="cgroup.memory=b,nokmem c"\n'
    after, changes = _grub.change_defaults(text, "cgroup.memory", "nokmem", "absent")
    assert after == 'GRUB_CMDLINE_LINUX="a"\nGRUB_CMDLINE_LINUX_DEFAULT="cgroup.memory=b c"\n'
    assert changes == [
        {"variable": "GRUB_CMDLINE_LINUX", "before": "a cgroup.memory=nokmem", "after": "a", "line": 1},
        {"variable": "GRUB_CMDLINE_LINUX_DEFAULT", "before": "cgroup.memory=b,nokmem c", "after": "cgroup.memory=b c", "line": 2},
    ]


FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "fixtures", "grub")


def fixture(name):
    with io.open(os.path.join(FIXTURES, name), encoding="utf-8", newline="") as stream:
        return stream.read()


@pytest.mark.parametrize("name, expected", [
    ("centos-7.8-bios.cfg", [("0", "3.10.0-1127.19.1.el7.x86_64", 0), ("1", "3.10.0-1127.el7.x86_64", 0),
                             ("2", "0-rescue-5c1d3e0a9f7b4c2d8e6f1a2b3c4d5e6f", 0)]),
    ("centos-7.9-uefi.cfg", [("0", "3.10.0-1160.el7.x86_64", 0), ("1", "0-rescue-5c1d3e0a9f7b4c2d8e6f1a2b3c4d5e6f", 0)]),
    ("centos-7-submenu.cfg", [("0", "3.10.0-1160.el7.x86_64", 0), ("1>0", "3.10.0-1160.el7.x86_64", 1),
                              ("1>1", "3.10.0-1127.el7.x86_64", 1), ("2", "", 0),
                              ("4", "0-rescue-5c1d3e0a9f7b4c2d8e6f1a2b3c4d5e6f", 0)]),
])  # fmt: skip
def test_whole_files(name, expected):
    text = fixture(name)
    found = _grub.entries(text)
    assert [(one["index"], one["version"], len(one["submenu"])) for one in found] == expected
    assert [one["rescue"] for one in found] == [one[1].startswith("0-rescue") for one in expected]
    assert all(text.split("\n")[one["line"] - 1].rstrip().endswith(one["args"]) for one in found)
    after = _grub.change_entries(text, "cgroup.memory", "nokmem", "present")
    assert _grub.change_entries(after, "cgroup.memory", "nokmem", "present") == after
    assert _grub.change_entries(after, "cgroup.memory", "nokmem", "absent") == text
    assert _grub.wrong_entries(found, _grub.entries(after), "cgroup.memory", "nokmem", "present") == []
    assert _grub.wrong_entries(found, _grub.entries(after), "cgroup.memory", "nokmem", "absent")
    changed = [(old, new) for old, new in zip(text.split("\n"), after.split("\n")) if old != new]
    assert len(changed) == len(found) and all(old.lstrip().startswith("linux") for old, dummy in changed)


def test_titles_with_quotes():
    assert [one["title"] for one in _grub.entries(fixture("centos-7-submenu.cfg"))][2:4] == [
        "It's a test, with \"quotes\"", 'Memory test (memtest86+ "5.01")']


def test_the_file_of_the_installer():
    text = fixture("default-grub")
    after, changes = _grub.change_defaults(text, "cgroup.memory", "nokmem", "present")
    assert changes[0]["after"] == "crashkernel=auto rd.lvm.lv=centos/root rd.lvm.lv=centos/swap rhgb quiet cgroup.memory=nokmem"
    assert after.replace(" cgroup.memory=nokmem", "") == text


@pytest.mark.parametrize("damage", [
    lambda text: text.replace("crashkernel=auto", "crashkernel=", 1),
    lambda text: text.replace("initramfs-3.10.0-1127.el7", "initramfs-3.10.0-1.el7", 1),
    lambda text: text.replace("rhgb quiet", "quiet rhgb", 1),
    lambda text: text.replace("'CentOS Linux (3.10.0-1127.el7.x86_64)", "'CentOS", 1),
    lambda text: text.replace("cgroup.memory=nokmem", "cgroup.memory=nosocket,nokmem", 1),
    lambda text: text.replace(" cgroup.memory=nokmem", " -- cgroup.memory=nokmem", 1),
    lambda text: text.replace("menuentry 'CentOS Linux (0-rescue", "# menuentry '", 1),
])  # fmt: skip
def test_every_damage_is_seen(damage):
    text = fixture("centos-7.8-bios.cfg")
    after = damage(_grub.change_entries(text, "cgroup.memory", "nokmem", "present"))
    try:
        assert _grub.wrong_entries(_grub.entries(text), _grub.entries(after), "cgroup.memory", "nokmem", "present")
    except _grub.GrubError:
        pass  # cannot be parsed any more, which is seen too


@pytest.mark.parametrize("end", [200, 1600, 2500, 3000])
def test_half_a_file_is_seen(end):
    text = fixture("centos-7.8-bios.cfg")
    try:
        assert len(_grub.entries(text[:end])) < 3
    except _grub.GrubError:
        pass


def test_a_line_of_arguments_that_is_not_closed_is_refused():
    for args in ("dyndbg=\"file foo", "quiet \\"):
        with pytest.raises(_grub.GrubError) as failure:
            _grub.change_entries("menuentry 'a' {\n linux /vmlinuz-1 %s\n}\n" % args, "cgroup.memory", "nokmem", "present")
        assert "line " in str(failure.value)


@pytest.mark.parametrize("args, state", [
    ("ro -- single", "present"), ("ro # note", "present"), ('dyndbg="x cgroup.memory=nokmem"', "present"),
    ('cgroup.memory="a"', "present"), ("cgroup.memory=nokmem cgroup.memory=a", "absent"),
])  # fmt: skip
def test_what_grubby_would_get_wrong_is_not_asked_of_it(args, state):
    text = "menuentry 'a' {\n linux /vmlinuz-1 %s\n}\n" % args
    assert _grub.grubby_calls(_grub.entries(text), "cgroup.memory", "nokmem", state) is None


def test_two_entries_of_one_kernel():
    text = "menuentry 'a' {\n linux /vmlinuz-1 %s\n}\nmenuentry 'b' {\n linux /vmlinuz-1 %s\n}\n"
    same = _grub.entries(text % ("ro", "quiet"))
    assert _grub.grubby_calls(same, "cgroup.memory", "nokmem", "present") == [["--update-kernel=ALL", "--args=cgroup.memory=nokmem"]]
    other = _grub.entries(text % ("ro", "cgroup.memory=nosocket"))
    assert _grub.grubby_calls(other, "cgroup.memory", "nokmem", "present") is None


@pytest.mark.parametrize("uefi, links, os_id, expected", [
    (False, {"bios": None, "uefi": None}, "centos", "/boot/grub2/grub.cfg"),
    (False, {"bios": "/mnt/x.cfg", "uefi": "/boot/efi/EFI/centos/grub.cfg"}, "centos", "/mnt/x.cfg"),
    (True, {"bios": "/boot/grub2/grub.cfg", "uefi": None}, "centos", "/boot/efi/EFI/centos/grub.cfg"),
    (True, {"bios": "/boot/grub2/grub.cfg", "uefi": None}, "rhel", "/boot/efi/EFI/redhat/grub.cfg"),
    (True, {"bios": None, "uefi": "/boot/efi/EFI/x/grub.cfg"}, "centos", "/boot/efi/EFI/x/grub.cfg"),
])  # fmt: skip
def test_the_firmware_and_the_links_decide(uefi, links, os_id, expected):
    assert _grub.config_path(uefi, links, "/boot", os_id) == expected


def test_a_configuration_that_only_loads_another():
    assert _grub.stub_target(fixture("uefi-stub.cfg")) == "/grub2/grub.cfg"
    assert _grub.stub_target(fixture("centos-7.9-uefi.cfg")) is None
    assert _grub.stub_target("# empty\n") is None


MENU = """set default="%s"
menuentry 'one' $menuentry_id_option 'id-1' {
\tlinux16 /vmlinuz-1 ro
}
submenu "a > b" --id sub {
\tmenuentry '2nd' --id=id-2 {
\t\tset default="9"
\t\tlinux16 /vmlinuz-2 ro
\t}
\tmenuentry 'three' --unrestricted {
\t\tlinux16 /vmlinuz-3 ro
\t}
}
menuentry '' {
\tlinux16 /vmlinuz-4 ro
}
"""


def test_the_menu_as_grub_counts_it():
    items = _grub.menu(MENU)
    assert [(one["index"], one["id"]) for one in items] == [("0", "id-1"), ("1", "sub"), ("2", "")]
    assert [(one["index"], one["id"], one["submenu"]) for one in items[1]["items"]] == [("1>0", "id-2", ["a > b"]), ("1>1", "three", ["a > b"])]


@pytest.mark.parametrize("value, version, how", [
    ("0", "1", "number"), (" 2", "4", "number"), ("0x2", "4", "number"), ("02", "4", "number"), ("08", "1", "fallback"), ("3", "1", "fallback"),
    ("-1", "1", "fallback"), ("", "4", "title"), ("nobody", "1", "fallback"), ("one", "1", "title"), ("id-1", "1", "id"), ("ONE", "1", "fallback"),
    ("one>two", "1", "title"), ("on", "1", "fallback"), ("ones", "1", "fallback"),
    # sub menus: a > in a name is doubled, by itself one means its first entry
    ("1", "2", "number"), ("1>1", "3", "number"), ("1>three", "3", "number"), ("sub>three", "3", "title"), ("sub>id-2", "2", "id"),
    ("a >> b>three", "3", "title"), ("a > b>three", "1", "fallback"), ("sub", "2", "number"), ("sub>nobody", "2", "fallback"),
    # a name that begins with a number is one, for GRUB
    ("sub>2nd", "2", "fallback"), ("sub>1st", "3", "number"),
])  # fmt: skip
def test_which_entry_grub_takes(value, version, how):
    item, told = _grub.resolve(_grub.menu(MENU), value)
    assert (item["version"], told) == (version, how)


def test_nothing_is_booted_from_an_empty_menu():
    assert _grub.resolve([], "0") == (None, "")


@pytest.mark.parametrize("version, name", [("1", "one"), ("2", None), ("3", "a >> b>three"), ("4", None)])
def test_the_name_of_an_entry(version, name):
    items = _grub.menu(MENU.replace(" --id sub", "").replace(" --id=id-2", ""))
    wanted = [one for one in _grub.with_kernel(items) if one["version"] == version][0]
    assert _grub.name_of(items, wanted) == name
    if name:
        assert _grub.lasting(items, name, wanted) and not _grub.lasting(items, wanted["index"], wanted)


def test_ids_serve_where_titles_do_not():
    items = _grub.menu(MENU)
    assert _grub.name_of(items, items[1]["items"][0]) == "sub>id-2"
    assert _grub.lasting(items, "id-1", items[0])
    items = _grub.menu(MENU.replace("id-2", "id-1"))
    assert not _grub.lasting(items, "id-1", items[0])  # another has it too, and may come first some day


@pytest.mark.parametrize("text, value, once", [
    ('set default="0"\n', "0", False), ("set default=0\n", "0", False), ("set default='a b'\n", "a b", False), ("", "", False),
    ('load_env\nset default="${saved_entry}"\n', _grub.SAVED, False), ("load_env\nset default=$saved_entry\n", _grub.SAVED, False),
    ('set default="${saved_entry}"\n', None, False), ('set default="$x"\n', None, False), ('set default="0"\nset default="1"\n', None, False),
    ('set default="0"\nset default="0"\n', "0", False),
    ('load_env\nif [ "${next_entry}" ] ; then\n   set default="${next_entry}"\nelse\n   set default="0"\nfi\n', "0", True),
    ('if [ "${next_entry}" ] ; then\n   set default="${next_entry}"\nelse\n   set default="0"\nfi\n', "0", False),
])  # fmt: skip
def test_how_a_configuration_chooses(text, value, once):
    rule = _grub.default_rule(text + MENU.partition("\n")[2])
    assert (rule["value"], rule["once"], bool(rule["why"])) == (value, once, value is None)


def test_the_default_changes_on_its_line_alone():
    for name in ("centos-7.8-bios.cfg", "centos-7.9-uefi.cfg", "centos-7-submenu.cfg"):
        text = fixture(name)
        assert _grub.default_rule(text)["value"] == _grub.SAVED
        after = _grub.change_default(text, "0")
        assert _grub.default_rule(after)["value"] == "0" and _grub.change_default(after, _grub.SAVED) == text
        assert len([1 for old, new in zip(text.split("\n"), after.split("\n")) if old != new]) == 1
    assert _grub.change_default("menuentry 'x' {\n}\n", "0") is None


@pytest.mark.parametrize("variables", [
    [], [("saved_entry", "CentOS Linux (3.10.0-1160.el7.x86_64) 7 (Core)")], [("a", ""), ("b", "x=y # z")], [("a", "back\\slash\nline")],
    [("saved_entry", u"Gr\u00fcn")],
])  # fmt: skip
def test_the_environment_block_there_and_back(variables):
    text = _grub.environment_text(variables)
    raw = text.encode("utf-8")
    assert len(raw) == 1024 and _grub.environment(text, len(raw)) == (variables, "")


def test_an_environment_block_that_is_full():
    with pytest.raises(_grub.GrubError):
        _grub.environment_text([("a", "x" * 1000)])


def test_the_environment_block_with_a_warning_line_of_newer_tools():
    comment = _grub.SIGNATURE + "# WARNING: Do not edit this file by tools other than grub-editenv!!!\n"
    old = (comment + "saved_entry=0\n").ljust(1024, "#")
    assert _grub.environment(old, 1024) == ([("saved_entry", "0")], "")
    # which is kept, and takes room
    assert _grub.environment_text([("saved_entry", "1")], old) == (comment + "saved_entry=1\n").ljust(1024, "#")
    room = 1024 - len(comment) - len("a=\n")
    assert _grub.environment_text([("a", "x" * room)], old).endswith("x\n")
    with pytest.raises(_grub.GrubError, match="1 are missing"):
        _grub.environment_text([("a", "x" * (room + 1))], old)


def test_changing_the_environment_keeps_the_order():
    before = [("b", "1"), ("a", "2"), ("c", "3")]
    assert _grub.change_environment(before, {"a": None, "c": "4", "z": "5", "y": None}) == [("b", "1"), ("c", "4"), ("z", "5")]


@pytest.mark.parametrize("before, after", [
    ("GRUB_DEFAULT=0\n", "GRUB_DEFAULT=saved\n"), ('GRUB_DEFAULT="0" # why\n', 'GRUB_DEFAULT="saved" # why\n'), ("", "GRUB_DEFAULT=saved\n"),
    ("A=1\r\n", "A=1\r\nGRUB_DEFAULT=saved\r\n"), ("A=1", "A=1\nGRUB_DEFAULT=saved\n"), ("GRUB_DEFAULT=\n", "GRUB_DEFAULT=saved\n"),
    ("GRUB_DEFAULT=saved\nGRUB_DEFAULT=0\n", "GRUB_DEFAULT=saved\nGRUB_DEFAULT=saved\n"), ("GRUB_DEFAULT='saved'\n", "GRUB_DEFAULT='saved'\n"),
    ('GRUB_DEFAULT="1>$(cat /x)"\n', 'GRUB_DEFAULT="saved"\n'),
    ('GRUB_DEFAULT=a\nGRUB_DEFAULT="$GRUB_DEFAULT b"\n', 'GRUB_DEFAULT=saved\nGRUB_DEFAULT="$GRUB_DEFAULT"\n'),
    ("export GRUB_DEFAULT=0\n", "export GRUB_DEFAULT=saved\n"), ("GRUB_DEFAULT=0; A=1\n", "GRUB_DEFAULT=saved; A=1\n"),
])  # fmt: skip
def test_a_variable_in_the_spellings_people_have(before, after):
    assert _grub.set_variable(before, "GRUB_DEFAULT", "saved") == after
    assert _grub.set_variable(after, "GRUB_DEFAULT", "saved") == after
    assert _grub.variable_value(after, "GRUB_DEFAULT") == "saved"


def test_a_variable_under_a_condition_is_refused():
    with pytest.raises(_grub.GrubError):
        _grub.set_variable("[ -f /x ] && GRUB_DEFAULT=0\n", "GRUB_DEFAULT", "saved")


@pytest.mark.parametrize("old, new, lost", [
    ("ro quiet", ["ro quiet"], None), ("ro quiet LANG=C", ["ro"], ["quiet"]), ("root=UUID=1 ro LANG=C", ["root=/dev/sda ro"], None),
    ("ro a=1", ["ro a=2"], ["a=1"]), ("ro a", ["ro b", "ro a single"], None), ("ro", ["ro added"], None), ("ro -- x", ["ro"], None), ("ro", [], None),
])  # fmt: skip
def test_arguments_that_a_new_menu_would_lose(old, new, lost):
    entry = "menuentry 'k' {\n linux16 /vmlinuz-1 %s\n}\n"
    found = _grub.lost_arguments(_grub.entries(entry % old), _grub.entries("".join(entry % one for one in new)))
    assert (found[0][1] if found else None) == lost


@pytest.mark.parametrize("args, extra, found", [
    ("ro quiet", "", 1), ("ro single", "", 0), ("ro 1", "", 0), ("ro systemd.unit=x", " --id 'gnulinux-1-recovery-2'", 0),
])  # fmt: skip
def test_recovery_entries_are_not_for_it(args, extra, found):
    text = "menuentry 'k'%s {\n linux16 /vmlinuz-1 %s\n}\n" % (extra, args)
    assert len(_grub.candidates(_grub.entries(text), "1")) == found
    assert _grub.candidates(_grub.entries(text), "2") == []
