# SPDX-License-Identifier: GPL-3.0-or-later
"""What the package roles decide on the controller: order of versions, choice of a kernel, plan and record of an update."""

import base64
import itertools
import pathlib
import re
import subprocess
import sys

import pytest
import yaml

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "plugins" / "filter"), str(REPO.parents[2])]

import choose_kernel  # noqa: E402
import kernels_to_go  # noqa: E402
import key_fingerprint  # noqa: E402
import out_of_tree  # noqa: E402
import package_changes  # noqa: E402
import package_faults  # noqa: E402
import package_list  # noqa: E402
import point_repos  # noqa: E402
import private_yum_conf  # noqa: E402
import reboot_reasons  # noqa: E402
import repo_files  # noqa: E402
import update_plan  # noqa: E402
from ansible.errors import AnsibleFilterError  # noqa: E402
from ansible_collections.el7ops.kmem.plugins.plugin_utils import _rpm  # noqa: E402

KEYS = REPO / "roles" / "elrepo_kernel" / "files"
ELREPO = yaml.safe_load((REPO / "roles" / "elrepo_kernel" / "defaults" / "main.yml").read_text())


def package(name, version, release, epoch=None, arch="x86_64", installed_at=0):
    return {"name": name, "epoch": epoch, "version": version, "release": release, "arch": arch, "installed_at": installed_at}


# -- order of versions: the cases of rpm's own tests/rpmvercmp.at, retold --------------------------------------------

ORDER = [
    ("1.0", "1.0", 0), ("1.0", "2.0", -1), ("2.0.1", "2.0.1", 0), ("2.0", "2.0.1", -1), ("2.0.1a", "2.0.1", 1), ("5.5p1", "5.5p2", -1),
    ("5.5p10", "5.5p1", 1), ("10xyz", "10.1xyz", -1), ("xyz10", "xyz10.1", -1), ("xyz.4", "8", -1), ("xyz.4", "2", -1), ("5.5p2", "5.6p1", -1),
    ("5.6p1", "6.5p1", -1), ("6.0.rc1", "6.0", 1), ("10b2", "10a1", 1), ("7.4.052", "7.4.52", 0), ("1.0010", "1.9", 1), ("1.05", "1.5", 0),
    ("4.999.9", "5.0", -1), ("20101121", "20101122", -1), ("2_0", "2.0", 0), ("a+", "a_", 0), ("+", "_", 0), ("1.0~rc1", "1.0", -1),
    ("1.0~rc1", "1.0~rc2", -1), ("1.0~rc1~git123", "1.0~rc1", -1), ("1.0^", "1.0", 1), ("1.0^git1", "1.0^git2", -1), ("1.0^git1", "1.01", -1),
    ("1.0^20160101", "1.0.1", -1), ("1.0^20160101^git1", "1.0^20160102", -1), ("1.0~rc1^git1", "1.0~rc1", 1), ("1.0^git1~pre", "1.0^git1", -1),
    ("1127", "1160.119.1", -1), ("1160.9.1", "1160.119.1", -1), ("6.10.1", "6.9.7", 1), ("1.el7", "1.el7.elrepo", -1),
]  # fmt: skip


@pytest.mark.parametrize("one, two, expected", ORDER)
def test_versions_are_ordered_as_rpm_does(one, two, expected):
    assert _rpm.compare_strings(one, two) == expected
    assert _rpm.compare_strings(two, one) == -expected


def test_the_order_is_total_over_all_cases():
    versions = sorted({version for case in ORDER for version in case[:2]})
    for one, two, three in itertools.product(versions, repeat=3):
        if _rpm.compare_strings(one, two) <= 0 and _rpm.compare_strings(two, three) <= 0:
            assert _rpm.compare_strings(one, three) <= 0, (one, two, three)


def test_an_epoch_outweighs_the_version_and_none_of_its_spellings_is_one():
    assert _rpm.compare(package("a", "1", "1", "1"), package("a", "9", "1")) == 1
    assert {_rpm.evr_text(package("a", "1", "1", epoch)) for epoch in (None, "", "0", "(none)", "None")} == {"1-1"}


# -- choice of a kernel ----------------------------------------------------------------------------------------------

OLD = [{"name": "/usr/bin/runc", "version": "1.0.0-rc10", "kmem": "on"}]
UNSURE = [{"name": "kubelet", "version": "1.21.4-0", "kmem": "unknown"}]
QUIET = [{"name": "containerd.io", "version": "1.2.6-3.3.el7", "kmem": "off"}]

TRAPS = [
    ("3.10.0", ""), ("4.4.249", ""), ("5.4.278", ""), ("5.15.150", ""), ("5.16.0", "refuses"), ("5.17.6", "refuses"), ("6.0.19", "refuses"),
    ("6.1.52", "refuses"), ("6.1.53", "missing"), ("6.1.55", "missing"), ("6.1.56", "missing"), ("6.1.57", ""), ("6.1.158", ""),
    ("6.2.16", "refuses"), ("6.4.16", "refuses"), ("6.5.2", "refuses"), ("6.5.4", "missing"), ("6.5.6", "missing"), ("6.5.7", ""),
    ("6.6", ""), ("6.6.1", ""), ("6.9.7", ""), ("6.11.0", "no_v1"), ("6.11.3", "no_v1"), ("6.11.4", ""), ("7.0.1", ""),
]  # fmt: skip


@pytest.mark.parametrize("version, kind", TRAPS)
def test_the_broken_window_is_known(version, kind):
    assert choose_kernel.trap(version) == kind


@pytest.mark.parametrize("version, kind", TRAPS)
def test_a_kernel_of_the_window_is_never_chosen_where_it_would_break_containers(version, kind):
    listed = [package("kernel-ml", version, "1.el7.elrepo")]
    for enablers in (OLD, UNSURE):
        for pin in ("", version):
            answer = choose_kernel.choose_kernel(listed, "ml", pin, enablers)
            assert bool(answer["chosen"]) == (kind == "") and bool(answer["refusal"]) == (kind != "")
            assert kind != "refuses" or "Fine is kernel-ml 6.9.7" in answer["refusal"]
    # nothing there that writes to the file: only what is missing altogether matters; without containers not even that
    assert bool(choose_kernel.choose_kernel(listed, "ml", "", QUIET)["chosen"]) == (kind in ("", "refuses"))
    assert bool(choose_kernel.choose_kernel(listed, "ml", "", [])["chosen"]) == (kind != "no_v1")


LISTED = [
    package("kernel-ml", "6.9.7", "1.el7.elrepo", "0"), package("kernel-ml", "6.10.1", "1.el7.elrepo", "0", arch="i686"),
    package("kernel-ml", "6.5.4", "1.el7.elrepo", "0"), package("kernel-ml", "6.5.10", "1.el7.elrepo", "0"),
    package("kernel-ml-devel", "7.0.0", "1.el7.elrepo", "0"), package("kernel-lt", "5.4.278", "1.el7.elrepo", "0"),
    {"error_parsing": "a line that the module could not split"},
]  # fmt: skip

CHOICES = [
    ("ml", "", OLD, "kernel-ml-6.9.7-1.el7.elrepo.x86_64"),
    ("lt", "", OLD, "kernel-lt-5.4.278-1.el7.elrepo.x86_64"),
    ("ml", "6.5.10", OLD, "kernel-ml-6.5.10-1.el7.elrepo.x86_64"),
    ("ml", "6.5.10-1.el7.elrepo", OLD, "kernel-ml-6.5.10-1.el7.elrepo.x86_64"),
    ("ml", "6.5.10-1.el7.elrepo.x86_64", OLD, "kernel-ml-6.5.10-1.el7.elrepo.x86_64"),
    ("ml", "kernel-ml-6.5.10-1.el7.elrepo.x86_64", OLD, "kernel-ml-6.5.10-1.el7.elrepo.x86_64"),
    ("ml", "6.5.4", OLD, None),
    ("ml", "6.5.4", [], "kernel-ml-6.5.4-1.el7.elrepo.x86_64"),
    ("ml", "6.5", OLD, None),
    ("ml", "6.9.7-2.el7.elrepo", OLD, None),
    ("lt", "6.1.158", OLD, None),
]


@pytest.mark.parametrize("flavor, version, enablers, nevra", CHOICES)
def test_the_pinned_kernel_or_the_newest_that_fits_is_chosen(flavor, version, enablers, nevra):
    for listed in (LISTED, LISTED[::-1]):
        answer = choose_kernel.choose_kernel(listed, flavor, version, enablers)
        assert (answer["chosen"] or {}).get("nevra") == nevra
        assert bool(answer["refusal"]) == (nevra is None)
        if nevra:
            assert nevra == f"kernel-{flavor}-{answer['chosen']['release']}"


def test_a_newer_kernel_of_the_window_is_passed_over_and_said():
    answer = choose_kernel.choose_kernel(LISTED[2:4] + [package("kernel-ml", "6.2.1", "1")], "ml", "", OLD)
    assert answer["chosen"]["version"] == "6.5.10" and len(answer["notes"]) == 2
    answer = choose_kernel.choose_kernel(LISTED[2:3] + LISTED[:1], "ml", "6.5.4", OLD)
    assert "120837" in answer["refusal"] and "runc 1.0.0-rc10" in answer["refusal"] and "Fine is kernel-ml 6.9.7" in answer["refusal"]


def test_what_is_listed_is_named_where_the_pin_is_not_there():
    assert "listed are: 6.5.10-1.el7.elrepo" in choose_kernel.choose_kernel(LISTED[3:4], "ml", "6.9.7", [])["refusal"]
    assert choose_kernel.choose_kernel([], "ml", "", [])["refusal"] == "no kernel-ml for x86_64 is there"


# -- what is installed, and what an update made of it ----------------------------------------------------------------

RPM = """\
kernel|(none)|3.10.0|1127.el7|x86_64|1600000000
glibc|(none)|2.17|307.el7.1|x86_64|1600000000
glibc|(none)|2.17|307.el7.1|i686|1600000000
mariadb-server|1|5.5.65|1.el7|x86_64|1600000000
gpg-pubkey|(none)|f4a80eb5|53a7ff4b|(none)|1600000000
grub2|1|2.02|0.81.el7.centos|x86_64|1600000000
gone|(none)|1|1|noarch|1600000000"""


def test_packages_before_and_after_become_lines():
    before = package_list.package_list(RPM.splitlines())
    text = RPM.replace("307.el7.1|x86_64", "326.el7_9|x86_64").replace("5.5.65", "5.5.68").replace("gone", "new")
    after = package_list.package_list((text + "\nkernel|(none)|3.10.0|1160.el7|x86_64|1700000000").splitlines())
    assert package_changes.package_changes(before, before) == []
    assert package_changes.package_changes(after, before) == [
        "glibc.x86_64 2.17-307.el7.1 -> 2.17-326.el7_9", "gone 1-1 removed", "kernel 3.10.0-1160.el7 installed",
        "mariadb-server 1:5.5.65-1.el7 -> 1:5.5.68-1.el7", "new 1-1 installed",
    ]  # fmt: skip
    # the third kernel comes, the first goes: two lines, never "a -> b"
    third = [item for item in after if item["release"] != "1127.el7"]
    assert "kernel 3.10.0-1127.el7 removed" in package_changes.package_changes(third, before)


def test_an_answer_of_rpm_that_was_not_asked_for_is_refused():
    with pytest.raises(AnsibleFilterError, match="not asked for"):
        package_list.package_list(["error: rpmdb: BDB0113 Thread/process failed"])


def test_a_package_that_is_there_twice_is_named_and_kernels_are_not():
    installed = package_list.package_list((RPM + "\nglibc|(none)|2.17|326.el7_9|x86_64|1\nkernel|(none)|3.10.0|1160.el7|x86_64|1").splitlines())
    assert package_faults.package_faults(installed) == ["glibc.x86_64 2.17-307.el7.1 and 2.17-326.el7_9"]


REASONS = [
    # running, booted at, (package, installed at) added, reasons
    ("3.10.0-1127.el7.x86_64", 1500000000, [], ["glibc 2.17-307.el7.1 was installed after the last boot"]),
    ("3.10.0-1127.el7.x86_64", 1650000000, [], []),
    ("3.10.0-1127.el7.x86_64", 1650000000, [package("kernel", "3.10.0", "1160.el7")], ["kernel 3.10.0-1160.el7 is installed, 3.10.0-1127.el7.x86_64 runs"]),
    ("3.10.0-1160.el7.x86_64", 1650000000, [package("kernel", "3.10.0", "1160.el7")], []),
    ("6.9.7-1.el7.elrepo.x86_64", 1650000000, [package("kernel-ml", "6.9.7", "1.el7.elrepo"), package("kernel", "3.10.0", "1160.el7")], []),
    ("3.10.0-957.el7.x86_64", 1650000000, [], ["kernel 3.10.0-1127.el7 is installed, 3.10.0-957.el7.x86_64 runs"]),
    ("3.10.0-1127.el7.x86_64", 1650000000, [package("systemd", "219", "78", installed_at=1650000001)],
     ["systemd 219-78 was installed after the last boot"]),
    ("3.10.0-1127.el7.x86_64", 1650000000, [package("bash", "4.2", "1", installed_at=1650000001)], []),
]  # fmt: skip


@pytest.mark.parametrize("running, booted, more, reasons", REASONS)
def test_a_reboot_is_due_for_a_reason_or_not_at_all(running, booted, more, reasons):
    assert reboot_reasons.reboot_reasons(package_list.package_list(RPM.splitlines()) + more, running, booted) == reasons


# -- the plan of an update, as both backends of ansible.builtin.yum of ansible-core 2.16 return it -------------------

YUM = {"changed": True, "results": [], "changes": {"installed": [], "updated": [
    ["kernel", "3.10.0-1160.119.1.el7.x86_64 from updates"], ["mariadb-server", "1:5.5.68-1.el7.x86_64 from base"],
    ["glib*", "because of (at least) glibc-2.17-326.el7_9.x86_64 from updates"]]}}  # fmt: skip
DNF = {"changed": True, "results": ["Installed: kernel-3.10.0-1160.119.1.el7.x86_64", "Installed: mariadb-server-1:5.5.68-1.el7.x86_64",
                                    "Installed: glibc-2.17-326.el7_9.x86_64", "Removed: mariadb-server-1:5.5.65-1.el7.x86_64"]}  # fmt: skip


@pytest.mark.parametrize("result", [YUM, DNF], ids=["yum", "dnf"])
def test_both_backends_tell_the_same_plan(result):
    plan = update_plan.update_plan(result, package_list.package_list(RPM.splitlines()))
    assert plan["lines"] == ["glibc 2.17-326.el7_9", "kernel 3.10.0-1160.119.1.el7", "mariadb-server 1:5.5.68-1.el7"]
    assert plan["jumps"] == []


@pytest.mark.parametrize("result", [
    {"changed": False, "results": ["Nothing to do here, all packages are up to date"], "msg": ""}, {"changed": False, "results": [], "msg": "Nothing to do"},
    {"changed": False, "changes": {"installed": [], "updated": []}, "results": []},
])  # fmt: skip
def test_nothing_to_do_is_an_empty_plan(result):
    assert update_plan.update_plan(result, []) == {"packages": [], "lines": [], "jumps": []}


def test_an_answer_that_is_not_understood_is_no_empty_plan():
    with pytest.raises(AnsibleFilterError):
        update_plan.update_plan({"changed": True, "results": ["Verschiedenes"]}, [])
    with pytest.raises(AnsibleFilterError):
        update_plan.update_plan({"changed": True, "changes": {"updated": [["glibc", "soon"]]}}, [])


JUMPS = [
    ("mariadb-server", "5.5.65", "mariadb-server", "5.5.68", False), ("mariadb-server", "5.5.65", "mariadb-server", "10.3.39", True),
    ("mariadb-server", "5.5.65", "MariaDB-server", "10.6.8", True), ("MariaDB-server", "10.3.39", "MariaDB-server", "10.4.2", True),
    ("MariaDB-server", "10.3.38", "MariaDB-server", "10.3.39", False), ("mysql-community-server", "5.7.40", "mysql-community-server", "8.0.30", True),
    ("Percona-Server-server-57", "5.7.1", "Percona-Server-server-57", "5.7.9", False),
    ("mysql-community-server", "5.7.40", "percona-server-server", "8.0.1", True),
    ("postgresql-server", "9.2.24", "postgresql-server", "9.6.1", True), ("postgresql-server", "12.1", "postgresql-server", "12.9", False),
    ("postgresql-server", "12.1", "postgresql-server", "13.1", True), ("postgresql", "9.2.24", "postgresql", "12.1", False),
    ("mongodb-org-server", "4.4.1", "mongodb-org-server", "5.0.1", True), ("mariadb-libs", "5.5.65", "mariadb-libs", "10.1.1", False),
]  # fmt: skip


@pytest.mark.parametrize("old, was, new, becomes, jump", JUMPS)
def test_a_database_that_jumps_to_another_major_version_is_seen(old, was, new, becomes, jump):
    installed = [package(old, was, "1.el7", "1")]
    for result in ({"changed": True, "changes": {"updated": [[new, f"{becomes}-1.el7.x86_64 from database"]]}},
                   {"changed": True, "results": [f"Installed: {new}-{becomes}-1.el7.x86_64", f"Removed: {old}-{was}-1.el7.x86_64"]}):  # fmt: skip
        jumps = update_plan.update_plan(result, installed)["jumps"]
        assert bool(jumps) == jump
        assert not jump or (f"{old} 1:{was}" in jumps[0] and f"{new} {becomes}" in jumps[0])


# -- repositories ----------------------------------------------------------------------------------------------------

CENTOS_BASE = """\
# CentOS-Base.repo
#

[base]
name=CentOS-$releasever - Base
mirrorlist=http://mirrorlist.centos.org/?release=$releasever&arch=$basearch&repo=os&infra=$infra
#baseurl=http://mirror.centos.org/centos/$releasever/os/$basearch/
gpgcheck=1
gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-CentOS-7

#additional packages that may be useful
[extras]
name=CentOS-$releasever - Extras
baseurl=http://one.example/extras/
  http://two.example/extras/
gpgcheck=1
"""
SCLO = "[centos-sclo-rh]\nname=SCLo\nbaseurl=http://mirror.centos.org/centos/7/sclo/$basearch/rh/\ngpgcheck=1\nenabled=1\n"
EPEL = "[epel]\nmetalink=https://mirrors.fedoraproject.org/metalink?repo=epel-7\nenabled=1\ngpgcheck=1"


def test_only_sections_of_centos_point_elsewhere_and_the_rest_stays():
    vault = "http://vault.centos.org/7.9.2009"
    text = point_repos.point_repos(CENTOS_BASE, vault)
    parser = repo_files.read(text, "test")
    assert parser["base"]["baseurl"] == vault + "/os/$basearch/" and parser["extras"]["baseurl"] == vault + "/extras/$basearch/"
    assert "mirrorlist" not in parser["base"] and parser["base"]["gpgkey"].endswith("CentOS-7")
    kept = [line for line in text.splitlines() if not re.match(r"#mirrorlist|#?baseurl|#  http", line)]
    assert kept == [line for line in CENTOS_BASE.splitlines() if not re.match(r"mirrorlist|#?baseurl|  http", line)]
    assert "#  http://two.example/extras/" in text
    assert point_repos.point_repos(text, vault) == text, "a second time changes nothing"
    again = point_repos.point_repos(text, "http://own.example/7/")
    assert repo_files.read(again, "test")["base"]["baseurl"] == "http://own.example/7/os/$basearch/"
    assert repo_files.read(point_repos.point_repos(SCLO, vault), "test")["centos-sclo-rh"]["baseurl"] == vault + "/sclo/$basearch/rh/"
    assert point_repos.point_repos(EPEL, vault) == EPEL and point_repos.point_repos("", vault) == ""


def slurped(**texts):
    return [{"source": path, "content": base64.b64encode(text.encode()).decode()} for path, text in texts.items()]


def test_repositories_are_read_with_the_defaults_of_yum_conf():
    files = slurped(**{"/x.repo": "[a]\nname=a\n[b]\nenabled=0\ngpgcheck=0\n[c]\nenabled=yes\ngpgcheck = 1\n"})
    for main, unchecked in (("[main]\ngpgcheck=1\n", ["b"]), ("[main]\n", ["a", "b"]), ("", ["a", "b"])):
        found = repo_files.repo_files(slurped(**{"/etc/yum.conf": main}) + files, "/etc/yum.conf")
        assert [item["id"] for item in found if not item["gpgcheck"]] == unchecked
        assert [item["id"] for item in found if item["enabled"]] == ["a", "c"]
    with pytest.raises(AnsibleFilterError, match="cannot be understood"):
        repo_files.repo_files(slurped(**{"/x.repo": "name=1\n"}), "/etc/yum.conf")


def test_the_private_conf_keeps_proxy_and_limits_and_checks_signatures():
    text = private_yum_conf.private_yum_conf(
        "[main]\ngpgcheck=0\nexclude=kernel* foo\nproxy=http://p:3128\nproxy_password=a%b\ninstallonly_limit=5\nplugins=1\nreposdir=/x\n"
        "distroverpkg=centos-release\n[other]\nname=x\n", "/t/repos", "/t/cache")  # fmt: skip
    main = repo_files.read(text, "test")["main"]
    assert main["proxy_password"] == "a%b" and main["installonly_limit"] == "5" and main["plugins"] == "1" and "exclude" not in main
    assert main["gpgcheck"] == main["localpkg_gpgcheck"] == "1" and main["reposdir"] == "/t/repos" and "other" not in text
    assert main["distroverpkg"] == "centos-release"


# -- before a kernel is installed --------------------------------------------------------------------------------------


def test_modules_that_do_not_come_with_the_kernel_are_named():
    installed = [package(name, "1", "1") for name in ("kmod", "kmod-libs", "kmod-nvidia", "zfs-kmod", "dkms", "bash")]
    files = ["/lib/modules/3.10.0-1127.el7.x86_64/weak-updates/a.ko", "/var/lib/dkms/vboxhost"]
    modules = "ext4 1 1 - Live 0x0\nvboxdrv 1 0 - Live 0x0 (OE)\nnvidia 2 0 - Live 0x0 (POE)\nnew 1 0 - Loading 0x0 (E)\n"
    assert out_of_tree.out_of_tree(installed, files, modules) == [
        "packages: kmod-nvidia 1-1, zfs-kmod 1-1", "dkms: vboxhost", "files: " + files[0], "loaded now: nvidia, vboxdrv",
    ]  # fmt: skip
    assert out_of_tree.out_of_tree(installed[:2], [], "ext4 1 1 - Live 0x0\n") == []


GO = [
    (2, 5, "6.1-1.x86_64", []), (5, 5, "6.5-1.x86_64", ["6.1-1.x86_64"]), (5, 5, "6.1-1.x86_64", ["6.2-1.x86_64"]),
    (6, 5, "6.9-1.x86_64", ["6.1-1.x86_64", "6.2-1.x86_64"]), (6, 0, "6.9-1.x86_64", []), (1, 1, "6.1-1.x86_64", []),
]  # fmt: skip


@pytest.mark.parametrize("count, limit, running, gone", GO)
def test_what_installonly_limit_takes_away_is_known_before(count, limit, running, gone):
    installed = [package("kernel-ml", f"6.{number}", "1") for number in range(count, 0, -1)] + [package("kernel", "3.10.0", "1127.el7")]
    assert kernels_to_go.kernels_to_go(installed, "kernel-ml", limit, running) == gone


@pytest.mark.parametrize("key", ELREPO["elrepo_kernel_keys"], ids=lambda key: key["name"])
def test_the_keys_that_are_shipped_have_the_pinned_fingerprints(key, tmp_path):
    text = (KEYS / key["file"]).read_text()
    assert key_fingerprint.key_fingerprint(text) == key["fingerprint"]
    # and by a program that did not come from here
    env = {"GNUPGHOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    argv = ["gpg", "--batch", "--with-colons", "--show-keys", str(KEYS / key["file"])]
    done = subprocess.run(argv, env=env, check=True, capture_output=True, text=True)
    assert re.findall(r"^fpr:+([0-9A-F]+):", done.stdout, re.M)[0] == key["fingerprint"]


def test_a_key_file_that_is_not_exactly_one_key_has_no_fingerprint():
    one, two = (KEYS / key["file"] for key in ELREPO["elrepo_kernel_keys"])
    cut = one.read_text().splitlines()
    for text in ("", one.read_text() + two.read_text(), "\n".join(cut[:6] + cut[-2:]), one.read_text().replace("BEm+", "B!m+")):
        assert key_fingerprint.key_fingerprint(text).startswith("not usable: ")
    changed = one.read_text().replace("mQGiBEm+/6QRBAC5", "mQGiBEm+/6QRBAC6")
    assert key_fingerprint.key_fingerprint(changed) not in ("", key_fingerprint.key_fingerprint(one.read_text()))
