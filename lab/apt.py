# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian packages: those the host needs, and those of Debian 11 that the lab is made from.

Debian 11 (bullseye) packages come through a private apt root, so the host's own apt state is
never touched and the host may be another Debian or an Ubuntu.  Signatures are always checked
with debian-archive-keyring.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from lab import cache
from lab.progress import LabError, logged, output, say

SUITE = "bullseye"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
DEFAULT_MIRROR = "http://deb.debian.org/debian"
_LISTS_SECONDS = 12 * 3600

BUILD_PACKAGES = (
    "bc", "bison", "cpio", "createrepo-c", "debian-archive-keyring", "e2fsprogs", "fakeroot", "flex",
    "gcc", "gnupg", "grub-common", "grub-pc-bin", "kmod", "libc6-dev", "libelf-dev", "libssl-dev",
    "make", "mmdebstrap", "openssh-client", "patch", "qemu-system-x86", "qemu-utils", "rpm", "xz-utils",
)  # fmt: skip
PYTHON27_PACKAGES = ("debian-archive-keyring", "patchelf", "xz-utils")
CHROMIUM_PACKAGES = ("chromium", "chromium-driver", "fonts-dejavu-core")


def missing(packages: Iterable[str]) -> list[str]:
    """Return those of PACKAGES that the host does not have installed."""
    found = set()
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        raise LabError(f"the lab builds on Debian or Ubuntu; dpkg-query failed:\n{done.stderr}")
    for line in done.stdout.splitlines():
        status, name = line.rsplit(" ", 1)
        if status.startswith("ii"):
            found.add(name)
    return [name for name in packages if name not in found]


def require(packages: Iterable[str]) -> None:
    """Install what the host lacks, with sudo only if that is needed."""
    wanted = missing(packages)
    if not wanted:
        return
    say(f"packages missing on this host: {' '.join(wanted)}")
    install = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "--no-install-recommends", *wanted]
    logged("apt-get update", as_root(["apt-get", "update"], install), log=log("apt"))
    logged(f"installing {len(wanted)} packages", as_root(install, install), log=log("apt"))


def as_root(argv: list[str], meant: list[str]) -> list[str]:
    """Return ARGV such that it runs as root; if that cannot be, tell the user to type MEANT."""
    if os.geteuid() == 0:
        return argv
    if shutil.which("sudo") and subprocess.run(["sudo", "-v"], check=False).returncode == 0:
        return ["sudo", *argv]
    raise LabError(f"neither root nor sudo here; as root, type:\n  {shlex.join(meant)}", exit_code=2)


def log(name: str) -> Path:
    """Return the path of the log file called NAME."""
    return cache.root() / "log" / f"{name}.log"


def _sites() -> list[str]:
    """Return the mirrors to try: the one asked for, or the host's own and then Debian's."""
    asked = os.environ.get("EL7OPS_DEBIAN_MIRROR")
    if asked:
        return [asked.rstrip("/")]
    own = output(
        ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Origin: Debian", "Label: Debian"]
    )
    return list(dict.fromkeys([*(site.rstrip("/") for site in own.split()), DEFAULT_MIRROR]))


class Bullseye:
    """A private apt root for Debian 11."""

    def __init__(self) -> None:
        self.directory = cache.root() / "apt" / SUITE
        self._env = {"APT_CONFIG": str(self.directory / "apt.conf"), "LC_ALL": "C"}
        self.mirror = ""

    def update(self) -> Bullseye:
        """Fetch the package lists, unless young ones are there, from the first mirror that serves them."""
        fetched = self.directory / "fetched"
        with cache.lock("apt"):
            sites = _sites()
            if fetched.exists() and time.time() - fetched.stat().st_mtime < _LISTS_SECONDS:
                self.mirror = fetched.read_text()
                if self.mirror in sites:
                    return self
            self._write_config()
            failed = []
            for site in sites:
                source = f"deb [arch=amd64 signed-by={KEYRING}] {site} {SUITE} main\n"
                (self.directory / "sources.list").write_text(source)
                try:
                    logged(f"package lists of Debian {SUITE}", ["apt-get", "update"], log=log("apt"), env=self._env)
                except LabError as error:
                    failed.append(str(error))
                    continue
                self.mirror = site
                fetched.write_text(site)
                return self
        raise LabError(
            "\n".join(failed) + f"\nno mirror serves Debian {SUITE}; name one in EL7OPS_DEBIAN_MIRROR"
        )

    def _write_config(self) -> None:
        for sub in ("lists/partial", "archives/partial"):
            (self.directory / sub).mkdir(parents=True, exist_ok=True)
        (self.directory / "status").touch()
        # the host's apt.conf.d stays in force: a proxy may be set there
        settings = {
            "APT::Architecture": "amd64",
            "APT::Sandbox::User": "",
            "Acquire::Languages": "none",
            "APT::Update::Error-Mode": "any",
            "Dir::State::status": self.directory / "status",
            "Dir::State::lists": self.directory / "lists",
            "Dir::Cache::archives": self.directory / "archives",
            "Dir::Cache::pkgcache": self.directory / "pkgcache.bin",
            "Dir::Cache::srcpkgcache": self.directory / "srcpkgcache.bin",
            "Dir::Etc::sourcelist": self.directory / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
        }
        text = "".join(f'{name} "{value}";\n' for name, value in settings.items())
        (self.directory / "apt.conf").write_text(text)

    def candidates(self, packages: Iterable[str]) -> dict[str, str]:
        """Return the version of each of PACKAGES that the suite offers."""
        found, package = {}, ""
        for line in output(["apt-cache", "policy", *packages], env=self._env).splitlines():
            if not line.startswith(" "):
                package = line.rstrip(":")
            elif line.strip().startswith("Candidate:"):
                found[package] = line.split(":", 1)[1].strip()
        for package in packages:
            if found.get(package, "(none)") == "(none)":
                raise LabError(f"Debian {SUITE} at {self.mirror} has no package {package}")
        return found

    def unpack(self, packages: Iterable[str], target: Path) -> None:
        """Download PACKAGES (signatures checked by apt) and unpack them below TARGET."""
        packages = list(packages)
        downloads = target.parent / "debs"
        downloads.mkdir()
        logged(
            f"downloading {len(packages)} packages of Debian {SUITE}: {' '.join(packages)}",
            ["apt-get", "download", *packages], log=log("apt"), env=self._env, cwd=downloads,
        )  # fmt: skip
        for deb in sorted(downloads.glob("*.deb")):
            logged(f"unpacking {deb.name}", ["dpkg-deb", "-x", str(deb), str(target)], log=log("apt"))
        shutil.rmtree(downloads)
