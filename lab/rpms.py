# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed repositories: what a guest sees under http://mirror.lab/.

Packages are built from the spec files in ``lab/rpm`` and the lab kernels, and signed with keys that are
made once per cache: one stands for CentOS, one for ELRepo, one is a stranger's. Nothing in them is theirs.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lab import apt, cache, kernel
from lab.progress import LabError, logged, output, say

SPECS = cache.LAB_DIR / "rpm"
SHIMS = cache.LAB_DIR / "guest/tree/usr/sbin"
ML_OF_THE_BROKEN_WINDOW = "6.5.4-1.el7.elrepo.x86_64"

# owner of a key: who it says it is, and the file in which a guest finds it
OWNERS = {
    "base": ("CentOS 7 stand-in (lab key, not the real CentOS key)", "RPM-GPG-KEY-base"),
    "elrepo": ("elrepo.org stand-in (lab key, not the real ELRepo key)", "RPM-GPG-KEY-elrepo.org"),
    "stranger": ("a stranger whom no host trusts (lab key)", "RPM-GPG-KEY-stranger"),
}
# repository: whose key its packages are signed with
SIGNED_BY = {
    "base": "base", "updates": "base", "database": "base", "elrepo": "elrepo", "elrepo-kernel": "elrepo",
    # one and the same kernel-ml; yum takes that of "basekey": to it, any key in the RPM database is as good as another
    "unsigned": "", "wrongkey": "stranger", "basekey": "base",
}  # fmt: skip

# EL7's rpm reads neither zstd nor build ids; packages must not carry what this host's rpm adds on its own
_MACROS = {
    "_binary_payload": "w6.gzdio", "_build_id_links": "none", "_source_filedigest_algorithm": "8",
    "_binary_filedigest_algorithm": "8", "_buildhost": "lab", "debug_package": "%{nil}", "__os_install_post": "%{nil}",
    "__strip": "/bin/true",
}  # fmt: skip


@dataclass(frozen=True)
class Package:
    """One package to build: its spec file, the macros it takes, the repository it lies in."""

    repository: str
    spec: str
    macros: dict[str, str] = field(default_factory=dict)


def _kernel(repository: str, name: str, release: str, tree: Path | None = None) -> Package:
    version, rest = release.removesuffix(".x86_64").split("-", 1)
    macros = {"kname": name, "kver": version, "krel": rest}
    return Package(repository, "kernel", {**macros, "tree": str(tree / release)} if tree else macros)


def _stub(repository: str, name: str, version: str, release: str, **macros: str) -> Package:
    return Package(repository, "stub", {"sname": name, "sver": version, "srel": release, **macros})


def _packages(kernels: Path) -> list[Package]:
    return [
        Package("base", "centos-release"),
        Package("base", "grubby"),
        _kernel("base", "kernel", kernel.EL7, kernels),
        _stub("base", "mariadb-server", "5.5.65", "1.el7"),
        _stub("base", "tzdata", "2020a", "1.el7"),
        _kernel("updates", "kernel", kernel.EL7_UPDATE, kernels),
        _stub("updates", "mariadb-server", "5.5.68", "1.el7", stops="mariadb"),
        _stub("updates", "tzdata", "2024a", "1.el7"),
        _stub("database", "mariadb-server", "10.3.39", "1.el7"),
        Package("elrepo", "elrepo-release"),
        _kernel("elrepo-kernel", "kernel-lt", kernel.KERNEL_LT, kernels),
        _kernel("elrepo-kernel", "kernel-ml", kernel.KERNEL_ML, kernels),
        _kernel("elrepo-kernel", "kernel-ml", ML_OF_THE_BROKEN_WINDOW),
    ]


# -- keys --------------------------------------------------------------------


@contextlib.contextmanager
def _gnupg() -> Iterator[dict[str, str]]:
    """Give an environment with an empty key ring; its path is short, as the agent's socket needs it."""
    with tempfile.TemporaryDirectory(prefix="el7ops-gpg-", ignore_cleanup_errors=True) as home:
        # rpm reads macros from HOME, gpg its settings
        env = {"GNUPGHOME": home, "HOME": home, "LC_ALL": "C.UTF-8"}
        try:
            yield env
        finally:
            output(["gpgconf", "--kill", "gpg-agent"], env=env)


def _make_keys(target: Path) -> None:
    with _gnupg() as env:
        for owner, (name, file) in OWNERS.items():
            who = f"{name} <{owner}@lab.invalid>"
            quiet = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
            output([*quiet, "--quick-gen-key", who, "rsa2048", "sign", "never"], env=env)
            listed = output(["gpg", "--batch", "--with-colons", "--list-keys", f"{owner}@lab.invalid"], env=env)
            fingerprint = re.findall(r"^fpr:+([0-9A-F]{40}):", listed, re.M)[0]
            (target / f"{owner}.fingerprint").write_text(fingerprint)
            (target / file).write_text(output(["gpg", "--batch", "--armor", "--export", fingerprint], env=env))
            secret = target / f"{owner}.secret"
            secret.touch(mode=0o600)
            secret.write_text(output([*quiet, "--armor", "--export-secret-keys", fingerprint], env=env))


def _keys() -> Path:
    return cache.entry("gpg", cache.key(repr(OWNERS)), _make_keys)


def public_key(owner: str) -> Path:
    """Return the file with the public key of OWNER, one of OWNERS."""
    return _keys() / OWNERS[owner][1]


def fingerprint(owner: str) -> str:
    """Return the fingerprint of OWNER's key, 40 hex digits."""
    return (_keys() / f"{owner}.fingerprint").read_text()


# -- packages and repositories -------------------------------------------------


def build(kernels: Path) -> Path:
    """Return the directory of all repositories, made from the kernels that ``kernel.build`` left in KERNELS."""
    key = cache.key(kernels.name, _keys().name, *map(fingerprint, OWNERS), SPECS, SHIMS, Path(__file__))
    return cache.entry("repos", key, lambda target: _build(kernels, target))


def _build(kernels: Path, target: Path) -> None:
    log = apt.log("rpms")
    work = target.parent / "rpmbuild"
    sources = work / "SOURCES"
    sources.mkdir(parents=True)
    for file in [*SHIMS.iterdir(), *SPECS.glob("*.repo"), *map(public_key, OWNERS)]:
        shutil.copyfile(file, sources / file.name)
    for repository in SIGNED_BY:
        (target / repository).mkdir()
    packages = _packages(kernels)
    say(f"packing and signing {len(packages)} packages; some seconds")
    for package in packages:
        macros = {**_MACROS, "_topdir": str(work), "_rpmdir": str(target / package.repository),
                  "_rpmfilename": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm", **package.macros}  # fmt: skip
        title = f"packing {package.macros.get('kname') or package.macros.get('sname') or package.spec}"
        argv = ["rpmbuild", "-bb", "--quiet", "--nodeps", "--target", "x86_64"]
        argv += [word for name, value in macros.items() for word in ("--define", f"{name} {value}")]
        logged(title, [*argv, str(SPECS / f"{package.spec}.spec")], log=log, quiet=True)
    (good,) = (target / "elrepo-kernel").glob(f"kernel-ml-{kernel.KERNEL_ML}.rpm")
    for repository in ("unsigned", "wrongkey", "basekey"):
        shutil.copyfile(good, target / repository / good.name)
    _sign(target, log)
    for owner, (_name, file) in OWNERS.items():
        shutil.copyfile(public_key(owner), target / file)
    for repository in SIGNED_BY:
        argv = ["createrepo_c", "--quiet", "--no-database", "--general-compress-type", "gz", str(target / repository)]
        logged(f"indexing {repository}", argv, log=log, quiet=True)
    shutil.rmtree(work)


def _sign(target: Path, log: Path) -> None:
    with _gnupg() as env:
        for owner in OWNERS:
            output(["gpg", "--batch", "--quiet", "--import", str(_keys() / f"{owner}.secret")], env=env)
        for repository, owner in SIGNED_BY.items():
            packages = [str(package) for package in sorted((target / repository).glob("*.rpm"))]
            if owner:
                # Debian's rpm looks for gpg2: without the path it prints an error, answers 0 and has signed nothing
                macros = {"__gpg": shutil.which("gpg") or "/usr/bin/gpg", "_gpg_name": fingerprint(owner)}
                argv = ["rpmsign", *(w for name, value in macros.items() for w in ("--define", f"{name} {value}"))]
                logged(f"signing {repository}", [*argv, "--addsign", *packages], log=log, env=env, quiet=True)
            _prove(packages, owner, env)


def _prove(packages: list[str], owner: str, env: dict[str, str]) -> None:
    """Look at each package with a key ring that holds OWNER's key alone; no owner means no signature."""
    with tempfile.TemporaryDirectory(prefix="el7ops-rpmdb-") as database:
        rpmkeys = ["rpmkeys", "--dbpath", database]
        if owner:
            output([*rpmkeys, "--import", str(public_key(owner))], env=env)
        wanted = "digests signatures OK" if owner else "digests OK"
        for package in packages:
            said = output([*rpmkeys, "--checksig", package], env=env).strip()
            if said != f"{package}: {wanted}":
                raise LabError(f"{os.path.basename(package)} is not signed as meant ({owner or 'unsigned'}): {said}")
