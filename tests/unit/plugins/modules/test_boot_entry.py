# SPDX-License-Identifier: GPL-3.0-or-later
"""The module on a tree that stands for a host, with stand-ins of GRUB's tools and grubby, honest and lying ones."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import io
import os
import sys

import pytest
from ansible_collections.el7ops.kmem.plugins.module_utils import _door, _grub
from ansible_collections.el7ops.kmem.plugins.modules import boot_entry
from ansible_collections.el7ops.kmem.tests.unit.plugins.modules.harness import Tree

FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "fixtures", "grub")
NEW, OLD = "3.10.0-1127.19.1.el7.x86_64", "3.10.0-1127.el7.x86_64"
RESCUE = "0-rescue-5c1d3e0a9f7b4c2d8e6f1a2b3c4d5e6f"
SYSCONFIG = "# UPDATEDEFAULT specifies if new-kernel-pkg should make\n# new kernels the default\nUPDATEDEFAULT=yes\n\nDEFAULTKERNEL=kernel\n"

# grub2-editenv by its contract, for the tests: the format of the block, values with escapes, links followed
EDITENV = """#!%(python)s
import io, os, re, sys
args = [a if isinstance(a, type(u"")) else a.decode("utf-8") for a in sys.argv[1:]]
name, verb, rest = args[0], args[1], args[2:]
head = u"# GRUB Environment Block\\n"
if verb == "create":
    pairs = []
else:
    text = io.open(name, encoding="utf-8").read()
    if not text.startswith(head):
        sys.exit(1)
    pairs = re.findall(u"(?m)^(?!#)([^=\\n]+)=(.*)\\n", text[len(head):])
for one in rest:
    key, eq, value = one.partition(u"=")
    if verb == "unset":
        pairs = [p for p in pairs if p[0] != key]
    elif key in dict(pairs):
        pairs = [(k, value if k == key else v) for k, v in pairs]
    else:
        pairs.append((key, value))
text = head + u"".join(u"%%s=%%s\\n" %% p for p in pairs)
io.open(name, "w", encoding="utf-8").write(text + u"#" * (1024 - len(text.encode("utf-8"))))
"""
SET_DEFAULT = """#!/bin/sh
%(root)s/bin/grub2-editenv %(root)s/boot/grub2/grubenv unset prev_saved_entry
%(root)s/bin/grub2-editenv %(root)s/boot/grub2/grubenv set "saved_entry=$1"
"""
MKCONFIG = """#!/bin/sh
GRUB_DEFAULT=0
. %(root)s/etc/default/grub
[ "$GRUB_DEFAULT" != saved ] || GRUB_DEFAULT='${saved_entry}'
sed "/next_entry/!s#set default=.*#set default=\\"$GRUB_DEFAULT\\"#" %(config)s > "$2"
"""
# what grubby looks at: a title or a number in saved_entry or in grub.cfg, in the outermost menu alone
GRUBBY = """#!%(python)s
import io, re, sys
text = io.open("%(config)s", encoding="utf-8").read()
env = dict(re.findall(u"(?m)^(\\\\w+)=(.*)$", io.open("%(env)s", encoding="utf-8").read()))
value = re.findall(u'set default="(.*)"', text)[-1]
value = env.get(u"saved_entry", u"0") if value == u"${saved_entry}" else value
found = re.findall(u"(?ms)^menuentry '([^']*)'.*?^\\\\tlinux\\\\w* (\\\\S+)", text)
titles = [title for title, kernel in found]
index = int(value) if value.isdigit() else titles.index(value) if value in titles else 0
print("/boot" + found[index][1])
"""


def fixture(name):
    with io.open(os.path.join(FIXTURES, name), encoding="utf-8", newline="") as stream:
        return stream.read()


def title(version):
    return u"CentOS Linux (%s) 7 (Core)" % version


class Host(Tree):
    """A tree with a menu, an environment block and the tools, and the module run on it."""

    def __init__(self, root, monkeypatch):
        super(Host, self).__init__(root, monkeypatch, boot_entry)
        self.config, self.env = self.path("boot/grub2/grub.cfg"), self.path("boot/grub2/grubenv")
        self.defaults, self.sysconfig = self.path("etc/default/grub"), self.path("etc/sysconfig/kernel")
        self.put("boot/grub2/grub.cfg", fixture("centos-7.8-bios.cfg"))
        self.put("etc/default/grub", fixture("default-grub"))
        self.put("etc/sysconfig/kernel", SYSCONFIG)
        self.put("proc/sys/kernel/osrelease", OLD + "\n")
        for version in (NEW, OLD, RESCUE, "3.10.0-1160.el7.x86_64"):
            self.put("boot/vmlinuz-" + version, "kernel")
            self.put("boot/initramfs-%s.img" % version, "initramfs")
        self.set_env(saved_entry=title(OLD))
        for name, text in (("bin/grub2-editenv", EDITENV), ("sbin/grub2-set-default", SET_DEFAULT), ("sbin/grub2-mkconfig", MKCONFIG),
                           ("sbin/grubby", GRUBBY)):
            self.tool(name, text)

    def tool(self, name, text):
        self.put_tool(name, text % dict(config=self.config, env=self.env, root=self.root, python=sys.executable))

    def set_env(self, **variables):
        self.put("boot/grub2/grubenv", _grub.environment_text(sorted(variables.items())))

    def variables(self):
        with open(self.env, "rb") as stream:
            raw = stream.read()
        pairs, why = _grub.environment(raw.decode("utf-8"), len(raw))
        assert why == ""
        return dict(pairs)

    def position(self, value="0"):
        """GRUB_DEFAULT as a number, in both files, as the old instructions have it."""
        self.put("etc/default/grub", fixture("default-grub").replace("GRUB_DEFAULT=saved", "GRUB_DEFAULT=\"%s\"" % value))
        self.put("boot/grub2/grub.cfg", fixture("centos-7.8-bios.cfg").replace('"${saved_entry}"', '"%s"' % value))

    def texts(self):
        result = []
        for path in (self.defaults, self.config, self.env, self.sysconfig):
            with open(path, "rb") as stream:
                result.append(stream.read())
        return result

    def default(self, kernel=NEW, **options):
        return self.run(state="default", kernel=kernel, **options)


@pytest.fixture(name="host")
def fixture_host(tmpdir, monkeypatch):
    return Host(tmpdir, monkeypatch)


def brief(result):
    return [(result[key] or {}).get("version") for key in ("default", "next")] + [result["default_source"]]


def test_listing_reads_and_writes_nothing(host):
    before = host.texts()
    result = host.run()
    assert not result["changed"] and result["actions"] == [] and host.texts() == before and not os.path.exists(host.path("backups"))
    assert [(e["index"], e["version"], e["rescue"], e["default"]) for e in result["entries"]] == [
        ("0", NEW, False, False), ("1", OLD, False, True), ("2", RESCUE, True, False)]
    assert result["default"] == result["entries"][1] and result["default"]["initrd"] == "/initramfs-%s.img" % OLD
    assert (result["grub_default"], result["firmware"], result["config"]) == ("saved", "bios", os.path.realpath(host.config))
    assert result["grubenv"] == {"path": os.path.realpath(host.env), "state": "ok", "why": "", "variables": {"saved_entry": title(OLD)}}
    assert result["running"] == {"release": OLD, "default": True} and result["reboot_required"] is False
    assert "warnings" not in result


@pytest.mark.parametrize("variables, expected", [
    (dict(saved_entry=title(NEW)), [NEW, None, "saved_entry"]),
    (dict(saved_entry="1"), [OLD, None, "saved_entry"]),
    (dict(saved_entry="2"), [RESCUE, None, "saved_entry"]),
    (dict(saved_entry="7"), [NEW, None, "fallback"]),
    (dict(saved_entry="CentOS Linux (4.4.0) 7 (Core)"), [NEW, None, "fallback"]),
    (dict(), [NEW, None, "fallback"]),
    # ids that grubby copied are all the same: GRUB takes the first
    (dict(saved_entry="gnulinux-3.10.0-1127.el7.x86_64-advanced-1f2e3d4c-5b6a-4789-9abc-def012345678"), [NEW, None, "saved_entry"]),
    (dict(saved_entry=title(OLD), next_entry=title(NEW)), [OLD, NEW, "saved_entry"]),
    (dict(saved_entry=title(OLD), next_entry="nobody"), [OLD, NEW, "saved_entry"]),
    (dict(saved_entry=title(OLD), next_entry=""), [OLD, None, "saved_entry"]),
    # grub.cfg of this fixture does not know it
    (dict(saved_entry=title(OLD), prev_saved_entry=title(NEW)), [OLD, None, "saved_entry"]),
])  # fmt: skip
def test_what_grub_will_do_by_its_environment(host, variables, expected):
    host.set_env(**variables)
    assert brief(host.run()) == expected


def test_the_one_shot_of_older_tools_is_understood_and_forgotten(host):
    text = fixture("centos-7.8-bios.cfg").replace("function savedefault", 'if [ "${prev_saved_entry}" ]; then\n'
                                                  '  set saved_entry="${prev_saved_entry}"\nfi\nfunction savedefault')
    host.put("boot/grub2/grub.cfg", text)
    host.set_env(saved_entry=title(OLD), prev_saved_entry=title(NEW))
    assert brief(host.run()) == [NEW, OLD, "saved_entry"]
    assert host.default()["changed"] and host.variables() == {"saved_entry": title(NEW)}


@pytest.mark.parametrize("value, expected", [
    ("0", [NEW, None, "number"]), ("1", [OLD, None, "number"]), ("5", [NEW, None, "fallback"]), ("1>4", [OLD, None, "number"]),
    (title(OLD), [OLD, None, "title"]), ("gnulinux-3.10.0-1127.el7.x86_64-advanced-1f2e3d4c-5b6a-4789-9abc-def012345678", [NEW, None, "id"]),
    ("$somewhere", [None, None, "unknown"]),
])  # fmt: skip
def test_what_grub_will_do_by_a_fixed_value(host, value, expected):
    host.position(value)
    result = host.run()
    assert brief(result) == expected and result["grub_default"] == value
    assert (result["reboot_required"] is None) == (value == "$somewhere")


@pytest.mark.parametrize("raw, state", [
    (None, "missing"), (b"", "damaged"), (b"saved_entry=x\n" + b"#" * 1010, "damaged"), (b"\0" * 1024, "damaged"),
    (_grub.SIGNATURE.encode() + b"saved_entry=1\n", "damaged"),
])  # fmt: skip
def test_an_environment_block_that_is_missing_or_damaged_is_told_and_made_anew(host, raw, state):
    if raw is None:
        os.unlink(host.env)
    else:
        with open(host.env, "wb") as stream:
            stream.write(raw)
    listed = host.run()
    assert listed["grubenv"]["state"] == state and bool(listed["grubenv"]["why"]) == (state == "damaged")
    assert brief(listed)[2] == ("saved_entry" if b"=1" in (raw or b"") else "fallback") and not listed["changed"]
    planned, done = host.default(check=True), host.default()
    assert planned["diff"] == done["diff"] and done["default"]["version"] == NEW
    assert host.variables() == {"saved_entry": title(NEW)} and os.path.getsize(host.env) == 1024
    assert len(done["backups"]) == (0 if raw is None else 1) and not host.default()["changed"]


def test_the_default_is_named_and_stays_so(host):
    before = host.texts()
    planned = host.default(check=True, package="kernel-ml")
    assert planned["changed"] and host.texts() == before and not os.path.exists(host.path("backups"))
    done = host.default(package="kernel-ml")
    assert planned["diff"] == done["diff"] and [a["what"] for a in planned["actions"]] == [a["what"] for a in done["actions"]]
    assert set(a["done"] for a in planned["actions"]) == {"would"} and set(a["done"] for a in done["actions"]) == {True}
    for result in (planned, done):
        assert brief(result) == [NEW, None, "saved_entry"] and result["reboot_required"] is True
        assert result["changes"][0] == "default boot entry: %s -> %s" % (OLD, NEW)
    assert host.variables() == {"saved_entry": title(NEW)}
    assert host.texts()[3] == SYSCONFIG.replace("DEFAULTKERNEL=kernel", "DEFAULTKERNEL=kernel-ml").encode()
    assert host.texts()[:2] == before[:2]  # they said saved already
    assert [one["before"] for one in done["diff"]] == ["saved_entry=%s\n" % title(OLD), SYSCONFIG]
    assert sorted(copy["backup"].split(".")[-1] for copy in done["backups"]) == ["grubenv", "kernel"]
    again = host.default(package="kernel-ml")
    assert not again["changed"] and again["actions"] == [] and len(os.listdir(host.path("backups"))) == 1
    # a kernel that is installed later comes first in the menu and changes nothing
    host.put("boot/grub2/grub.cfg", host.texts()[1].decode().replace(
        "menuentry 'CentOS Linux (3.10.0-1127.19.1", "menuentry 'CentOS Linux (3.10.0-1160.el7.x86_64) 7 (Core)' {\n"
        "\tlinux16 /vmlinuz-3.10.0-1160.el7.x86_64 ro\n}\nmenuentry 'CentOS Linux (3.10.0-1127.19.1", 1))
    assert brief(host.run()) == [NEW, None, "saved_entry"] and not host.default()["changed"]


def test_a_number_that_happens_to_fit_is_replaced_by_the_name(host):
    for variables in (dict(saved_entry="0"), dict(), dict(saved_entry="gone")):
        host.set_env(**variables)
        assert host.default()["changed"] and host.variables() == {"saved_entry": title(NEW)}


@pytest.mark.parametrize("line", ["GRUB_DEFAULT=0", "GRUB_DEFAULT='1'", "", "GRUB_DEFAULT=\"1>2\"", "#GRUB_DEFAULT=saved", "GRUB_DEFAULT=saved"])
def test_a_host_that_boots_by_position_comes_to_boot_by_name(host, line):
    host.position()
    host.put("etc/default/grub", fixture("default-grub").replace("GRUB_DEFAULT=saved", line))
    before = host.texts()
    planned = host.default(OLD, check=True)
    assert host.texts() == before
    done = host.default(OLD)
    assert planned["diff"] == done["diff"] and planned["default"] == done["default"]
    assert brief(done) == [OLD, None, "saved_entry"] and done["grub_default"] == "saved"
    assert host.texts()[1].decode() == fixture("centos-7.8-bios.cfg")
    assert host.variables() == {"saved_entry": title(OLD)} and sorted(os.listdir(host.path("boot/grub2"))) == ["grub.cfg", "grubenv"]
    assert not host.default(OLD)["changed"]


def test_defaults_that_nobody_can_be_sure_of_are_refused_for_a_change_only(host):
    host.put("etc/default/grub", "if true; then\nGRUB_DEFAULT=0\nfi\n")
    assert host.run()["grub_default"] is None and "condition" in host.run()["warnings"][0]
    result = host.default()
    assert result["failed"] and "condition" in result["msg"] and "Nothing was written" in result["msg"]


@pytest.mark.parametrize("change, kernel, words", [
    (lambda host: None, "4.4.1", "is not there: install the kernel first"),
    (lambda host: host.put("boot/vmlinuz-4.4.1", "x"), "4.4.1", "grub2-mkconfig -o"),
    (lambda host: None, RESCUE, "no entry in"),
    (lambda host: None, "CentOS Linux", "kernel must be a version"),
    (lambda host: os.unlink(host.path("boot/initramfs-%s.img" % NEW)), NEW, "dracut -f"),
    (lambda host: host.put("boot/vmlinuz-" + NEW, ""), NEW, "which is empty"),
    (lambda host: host.put("boot/grub2/grub.cfg", fixture("centos-7.8-bios.cfg").replace("1127.19.1.el7", "1127.el7")
                           .replace("quiet", "quiet extra", 1)), OLD, "2 different entries"),
    (lambda host: host.put("boot/grub2/grub.cfg", fixture("centos-7.8-bios.cfg").replace("(3.10.0-1127.19.1.el7", "(3.10.0-1127.el7")),
     OLD, "another entry"),
    (lambda host: os.unlink(host.path("bin/grub2-editenv")), NEW, "yum install grub2-tools"),
    (lambda host: (host.position(), os.unlink(host.path("sbin/grub2-mkconfig"))), OLD, "yum install grub2-tools"),
    (lambda host: host.monkeypatch.setattr(_door.os, "geteuid", lambda: 1000), NEW, "become"),
    (lambda host: host.put("boot/grub2/grub.cfg", "menuentry 'x' {\n"), NEW, "cut off"),
    (lambda host: host.put("boot/grub2/grub.cfg", "blscfg\n"), NEW, "loader/entries"),
])  # fmt: skip
def test_refused_with_a_way_out(host, change, kernel, words):
    change(host)
    before = host.texts()
    for state in ("default", "once"):
        result = host.run(state=state, kernel=kernel)
        if "mkconfig" in words or "tools" not in words or state == "default":
            assert result["failed"] and words in result["msg"] and "Nothing was written" in result["msg"], (result, state)
            assert host.texts() == before and not os.path.exists(host.path("backups"))


def test_the_kernel_has_to_be_named(host):
    assert "kernel" in host.run(state="default")["msg"] and "kernel" in host.run(state="once")["msg"]


def test_two_entries_that_boot_the_same_are_no_question(host):
    host.put("boot/grub2/grub.cfg", fixture("centos-7-submenu.cfg").replace("'CentOS Linux, with Linux 3.10.0-1160.el7.x86_64'", "'CentOS Linux'", 1))
    host.set_env()
    assert host.default("3.10.0-1160.el7.x86_64")["changed"]
    # the one in the sub menu, as "CentOS Linux" will mean the next kernel
    assert host.variables()["saved_entry"] == "Advanced options for CentOS Linux>CentOS Linux, with Linux 3.10.0-1160.el7.x86_64"
    assert not host.default("3.10.0-1160.el7.x86_64")["changed"]


def test_an_entry_in_a_sub_menu(host):
    host.put("boot/grub2/grub.cfg", fixture("centos-7-submenu.cfg"))
    result = host.default(OLD)
    assert brief(result) == [OLD, None, "saved_entry"] and result["default"]["index"] == "1>1"
    assert host.variables() == {"saved_entry": "Advanced options for CentOS Linux>It's a test, with \"quotes\""}
    assert not host.default(OLD)["changed"]
    host.set_env(saved_entry="1>1")
    assert brief(host.run()) == [OLD, None, "saved_entry"]
    host.set_env(saved_entry="3")
    assert host.run()["default"] is None and "boots no Linux kernel" in host.run()["default_reason"]


def test_the_article_literally(host):
    before = host.texts()
    planned = host.default(mode="article", check=True)
    assert host.texts() == before
    done = host.default(mode="article")
    assert planned["diff"] == done["diff"] and [a["what"] for a in planned["actions"]] == [a["what"] for a in done["actions"]]
    assert host.texts()[0] == before[0].replace(b"GRUB_DEFAULT=saved", b"GRUB_DEFAULT=0")
    assert host.texts()[1] == before[1].replace(b'"${saved_entry}"', b'"0"') and host.variables() == {"saved_entry": "0"}
    assert [a["argv"][0].rpartition("/")[2] for a in done["actions"] if "argv" in a] == ["grub2-mkconfig", "grub2-set-default"]
    assert brief(done) == [NEW, None, "number"] and done["grub_default"] == "0"
    assert not host.default(mode="article")["changed"]
    assert host.default(mode="saved")["changed"] and host.texts()[:2] == before[:2] and host.variables() == {"saved_entry": title(NEW)}


def test_the_article_is_refused_where_the_first_entry_is_another(host):
    before = host.texts()
    result = host.default(OLD, mode="article")
    assert result["failed"] and title(NEW) in result["msg"] and "mode=saved" in result["msg"] and host.texts() == before


@pytest.mark.parametrize("raw", [None, b"", b"junk"])
def test_the_article_without_an_environment_block(host, raw):
    os.unlink(host.env)
    if raw is not None:
        host.put("boot/grub2/grubenv", raw.decode())
    assert host.default(mode="article")["changed"] and host.variables() == {"saved_entry": "0"}
    assert not host.default(mode="article")["changed"]


def test_once_leaves_the_default(host):
    planned, before = host.run(state="once", kernel=NEW, check=True), host.texts()
    done = host.run(state="once", kernel=NEW)
    assert planned["diff"] == done["diff"] and done["changed"] and done["reboot_required"] and host.texts()[:2] == before[:2]
    assert brief(done) == [OLD, NEW, "saved_entry"] and host.variables() == {"saved_entry": title(OLD), "next_entry": title(NEW)}
    assert not host.run(state="once", kernel=NEW)["changed"]
    # what GRUB itself leaves after the boot
    host.set_env(saved_entry=title(OLD), next_entry="")
    assert brief(host.run()) == [OLD, None, "saved_entry"] and not host.default(OLD)["changed"]


def test_a_new_default_forgets_the_one_shot(host):
    host.set_env(saved_entry=title(OLD), next_entry=title(NEW), boot_success="1")
    result = host.default(OLD)
    assert result["changes"] == ["one-shot boot forgotten: " + NEW] and host.variables() == {"saved_entry": title(OLD), "boot_success": "1"}
    assert not host.default(OLD)["changed"]


def test_once_is_refused_where_grub_does_not_look(host):
    host.put("boot/grub2/grub.cfg", fixture("centos-7.8-bios.cfg").replace("next_entry", "nobody"))
    assert "does not look at next_entry" in host.run(state="once", kernel=NEW)["msg"]


LIES = [
    ("bin/grub2-editenv", "#!/bin/sh\nexit 0\n", {}),
    ("bin/grub2-editenv", "#!/bin/sh\necho broken >&2\nexit 1\n", {}),
    ("bin/grub2-editenv", "#!/bin/sh\n: > \"$1\"\n", {}),
    ("bin/grub2-editenv", EDITENV.replace("pairs.append((key, value))", "pass").replace("value if k == key", "u'0' if k == key"), {}),
    ("sbin/grubby", "#!/bin/sh\necho\n", {}),
    ("sbin/grubby", "#!/bin/sh\necho /boot/vmlinuz-%s\n" % OLD, {}),
    ("sbin/grubby", "#!/bin/sh\nexit 1\n", {}),
    # without the link from /boot/grub it answers 0 and has written nothing
    ("sbin/grub2-set-default", "#!/bin/sh\nexit 0\n", dict(mode="article")),
    ("sbin/grub2-set-default", "#!/bin/sh\nexit 1\n", dict(mode="article")),
    ("sbin/grub2-mkconfig", "#!/bin/sh\nexit 1\n", dict(mode="article")),
    ("sbin/grub2-mkconfig", "#!/bin/sh\n: > \"$2\"\n", dict(mode="article")),
    ("sbin/grub2-mkconfig", "#!/bin/sh\ncat %(config)s > \"$2\"\n", dict(mode="article")),
    ("sbin/grub2-mkconfig", MKCONFIG + "sed -i '/0-rescue/,$d' \"$2\"\n", dict(mode="article")),
    ("sbin/grub2-mkconfig", MKCONFIG + "sed -i 's/crashkernel=auto//' \"$2\"\n", dict(mode="article")),
    ("sbin/grub2-mkconfig", MKCONFIG + "sed -i \"/^### BEGIN .*10_linux/amenuentry 'x' {\\n linux /vmlinuz-9 ro\\n}\" \"$2\"\n", dict(mode="article")),
]


@pytest.mark.parametrize("name, text, options", LIES)
def test_a_tool_that_lies_or_fails_leaves_the_host_as_it_was(host, name, text, options):
    before = host.texts()
    host.tool(name, text)
    result = host.default(package="kernel-ml", **options)
    assert result["failed"] and "The host is as before" in result["msg"], result
    assert host.texts() == before and sorted(os.listdir(host.path("boot/grub2"))) == ["grub.cfg", "grubenv"]
    assert result["backups"]


def test_the_reason_names_the_link_and_the_arguments(host):
    host.tool("sbin/grub2-set-default", "#!/bin/sh\nexit 0\n")
    assert "ls -ld /boot/grub /boot/grub2" in host.default(mode="article")["msg"]
    host.tool("sbin/grub2-mkconfig", MKCONFIG + "sed -i 's/crashkernel=auto//' \"$2\"\n")
    assert "takes crashkernel=auto away" in host.default(mode="article")["msg"]


def test_what_new_kernel_pkg_adds_may_go(host):
    host.position()
    host.tool("sbin/grub2-mkconfig", MKCONFIG + "sed -i 's/ LANG=[^ ]*//' \"$2\"\n")
    assert brief(host.default(OLD)) == [OLD, None, "saved_entry"] and "LANG" not in host.texts()[1].decode()


def test_titles_that_grub2_mkconfig_changes_are_followed(host):
    host.position()
    host.set_env(saved_entry=title(OLD))
    host.tool("sbin/grub2-mkconfig", MKCONFIG + "sed -i \"s/^menuentry 'CentOS Linux (/menuentry 'CentOS (/\" \"$2\"\n")
    result = host.default(OLD)
    assert brief(result) == [OLD, None, "saved_entry"] and host.variables() == {"saved_entry": "CentOS (%s) 7 (Core)" % OLD}
    assert set(copy["path"] for copy in result["backups"]) == {os.path.realpath(path) for path in (host.defaults, host.config, host.env)}
    assert not host.default(OLD)["changed"]


def uefi(host, link=True):
    os.makedirs(host.path("sys/firmware/efi"))
    host.put("etc/os-release", 'ID="centos"\n')
    host.put("boot/efi/EFI/centos/grub.cfg", fixture("centos-7.9-uefi.cfg"))
    host.put("boot/efi/EFI/centos/grubenv", _grub.environment_text([("saved_entry", title(RESCUE))]))
    os.unlink(host.env)
    os.unlink(host.config)
    if link:
        os.symlink("../efi/EFI/centos/grubenv", host.env)
    host.config = host.path("boot/efi/EFI/centos/grub.cfg")
    host.tool("sbin/grubby", GRUBBY)
    host.tool("sbin/grub2-mkconfig", MKCONFIG)


@pytest.mark.parametrize("mode", ["saved", "article"])
def test_on_uefi_the_link_to_the_environment_block_stays(host, mode):
    uefi(host)
    done = host.default("3.10.0-1160.el7.x86_64", mode=mode)
    assert done["changed"] and done["firmware"] == "uefi" and "warnings" not in done, done
    assert done["grubenv"]["path"] == os.path.realpath(host.path("boot/efi/EFI/centos/grubenv"))
    assert os.readlink(host.env) == "../efi/EFI/centos/grubenv" and not os.path.islink(host.path("boot/efi/EFI/centos/grubenv"))
    assert host.variables() == {"saved_entry": "0" if mode == "article" else title("3.10.0-1160.el7.x86_64")}


def test_on_uefi_without_the_link_the_block_that_grub_reads_is_written(host):
    uefi(host, link=False)
    host.set_env(saved_entry="0")
    os.unlink(host.path("sbin/grubby"))
    result = host.default("3.10.0-1160.el7.x86_64")
    assert brief(result) == ["3.10.0-1160.el7.x86_64", None, "saved_entry"] and "ln -sf" in result["warnings"][0]
    assert host.variables() == {"saved_entry": "0"}  # the one that nobody reads
    refused = host.default("3.10.0-1160.el7.x86_64", mode="article")
    assert refused["failed"] and "ln -sf" in refused["msg"]


def test_an_entry_that_the_menu_makes_the_default_is_warned_of(host):
    host.put("boot/grub2/grub.cfg", fixture("centos-7.8-bios.cfg").replace("\tload_video", "\tsavedefault\n\tload_video"))
    assert "GRUB_SAVEDEFAULT" in host.run()["warnings"][0]


@pytest.mark.parametrize("before, after", [
    (SYSCONFIG, SYSCONFIG.replace("=kernel\n", "=kernel-lt\n")),
    ('UPDATEDEFAULT=no\nDEFAULTKERNEL="kernel" # kept\n', 'UPDATEDEFAULT=no\nDEFAULTKERNEL="kernel-lt" # kept\n'),
    ("UPDATEDEFAULT=yes", "UPDATEDEFAULT=yes\nDEFAULTKERNEL=kernel-lt\n"),
    ("#DEFAULTKERNEL=kernel\n", "#DEFAULTKERNEL=kernel\nDEFAULTKERNEL=kernel-lt\n"),
    ("DEFAULTKERNEL=kernel-lt\n", "DEFAULTKERNEL=kernel-lt\n"),
    ("DEFAULTKERNEL=kernel-lt\nDEFAULTKERNEL=kernel\r\n", "DEFAULTKERNEL=kernel-lt\nDEFAULTKERNEL=kernel-lt\r\n"),
])  # fmt: skip
def test_defaultkernel_and_every_other_byte(host, before, after):
    host.put("etc/sysconfig/kernel", before)
    assert not host.default(package="kernel-lt")["failed"] and host.texts()[3].decode() == after
    assert not host.default(package="kernel-lt")["changed"]


def test_without_a_package_the_file_is_left_alone(host):
    os.unlink(host.sysconfig)
    assert host.default()["changed"] and not os.path.exists(host.sysconfig)
    assert host.default(package="kernel-ml")["changed"]
    with open(host.sysconfig) as stream:
        assert stream.read() == "DEFAULTKERNEL=kernel-ml\n"


def test_files_that_were_not_there_are_gone_again_after_a_failure(host):
    for path in (host.sysconfig, host.defaults, host.env):
        os.unlink(path)
    host.monkeypatch.setattr(boot_entry.Host, "verify", lambda self: {}["a bug"])
    assert "The host is as before" in host.default(package="kernel-ml")["msg"]
    assert [path for path in (host.sysconfig, host.defaults, host.env) if os.path.exists(path)] == []


def test_an_undo_that_fails_says_what_to_type(host):
    os.unlink(host.sysconfig)
    host.tool("sbin/grubby", "#!/bin/sh\nexit 1\n")
    real = boot_entry.Host.install
    count = []

    def install(self, path, content):
        count.append(path)
        if len(count) > 2:
            raise OSError(30, "Read-only file system")
        real(self, path, content)

    host.monkeypatch.setattr(boot_entry.Host, "install", install)
    message = host.default(package="kernel-ml")["msg"]
    assert "DO NOT REBOOT" in message and "cp -p %s" % host.path("backups") in message and "rm -f " + os.path.realpath(host.sysconfig) in message
    assert not os.path.exists(host.sysconfig)


def test_a_menu_that_sets_the_default_twice_is_not_guessed_at(host):
    host.put("boot/grub2/grub.cfg", fixture("centos-7.8-bios.cfg") + "set default=\"2\"\n")
    result = host.run()
    assert brief(result) == [None, None, "unknown"] and "is set in line" in result["default_reason"] and result["running"]["default"] is False
