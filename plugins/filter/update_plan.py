# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an update would do, out of what the package module answers in check mode."""

from __future__ import annotations

DOCUMENTATION = r"""
name: update_plan
short_description: The updates that are due, and jumps of a database to another major version
version_added: 0.2.0
author: el7ops.kmem contributors (@el7ops)
description:
  - Reads the result of C(ansible.builtin.yum) with C(state=latest) in check mode, of both its backends. What yum prints is not read.
  - A database is known by its packages' names over all vendors, so that C(MariaDB-server) in place of C(mariadb-server) is seen.
positional: installed
options:
  _input:
    description: The result of the module.
    type: dict
    required: true
  installed:
    description: The packages that are installed, see the filter package_list.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what would be updated
  ansible.builtin.debug:
    msg: "{{ (planned | el7ops.kmem.update_plan(before)).lines }}"
"""

RETURN = r"""
_value:
  description: C(packages), the same as C(lines), and C(jumps), lines of databases that would change their major version.
  type: dict
"""

import re

from ansible.errors import AnsibleFilterError
from ansible_collections.el7ops.kmem.plugins.plugin_utils import _rpm

# Servers whose data files a new major version converts, or does not read (MariaDB and MySQL manuals: stop, back up, upgrade).
DATABASES = (
    ("MariaDB or MySQL", re.compile(r"^(mariadb|mysql(-community|-commercial)?|percona-(server|xtradb-cluster))-server(-\d+)?$", re.I), 2),
    ("PostgreSQL", re.compile(r"^postgresql-server$"), 1),
    ("MongoDB", re.compile(r"^mongodb(-org)?-server$"), 2),
)


# the second form stands for a pattern or a provided name that somebody asked for
OF_YUM = re.compile(
    r"^(?:because of \(at least\) (?P<other>\S+)-(?=[^-\s]+-[^-\s]+ ))?(?P<evr>\S+)\.(?P<arch>[^. ]+) from (?P<repo>\S+)$"
)


def split_evr(text):
    """{epoch, version, release} of [epoch:]version-release."""
    epoch, _colon, rest = text.rpartition(":")
    version, _dash, release = rest.rpartition("-")
    return {"epoch": epoch or None, "version": version, "release": release}


def from_yum(changes):
    """Packages of C(changes), as the backend for yum 3 returns it: pairs of name and 'evr.arch from repository'."""
    packages = []
    for name, what in changes.get("updated") or []:
        match = OF_YUM.match(what or "")
        if not match:
            raise AnsibleFilterError(f"the update of {name} is described in an unknown way: {what!r}")
        packages.append(dict(split_evr(match["evr"]), name=match["other"] or name, arch=match["arch"], repo=match["repo"]))
    return packages


def from_dnf(results):
    """Packages of C(results), as the backend for dnf returns it: 'Installed: name-evr.arch' and 'Removed: ...'."""
    packages = []
    for line in results:
        match = re.match(r"^Installed: (?P<name>.+)-(?P<evr>[^-]+-[^-]+)\.(?P<arch>[^.]+)$", line)
        if match:
            packages.append(dict(split_evr(match["evr"]), name=match["name"], arch=match["arch"], repo=""))
    return packages


def major(version, parts, name):
    """What counts as major: '10.3' of MariaDB, '12' of PostgreSQL ('9.2' before 10)."""
    found = version.split(".")
    if name == "PostgreSQL" and found[0].isdigit() and int(found[0]) < 10:
        parts = 2
    return ".".join(found[:parts])


def jumps(planned, installed):
    """Lines for databases whose installed server would become another major version."""
    lines = []
    for title, pattern, parts in DATABASES:
        old = [package for package in installed if pattern.match(package["name"])]
        for new in planned:
            if not pattern.match(new["name"]):
                continue
            for one in old:
                was, becomes = (major(package["version"], parts, title) for package in (one, new))
                if was != becomes:
                    lines.append(f"{title}: {one['name']} {_rpm.evr_text(one)} -> {new['name']} {_rpm.evr_text(new)}")
    return sorted(set(lines))


def update_plan(result, installed):
    """What the module would update; see DOCUMENTATION."""
    if isinstance(result.get("changes"), dict):
        packages = from_yum(result["changes"])
    else:
        packages = from_dnf(result.get("results") or [])
    if result.get("changed") and not packages:
        raise AnsibleFilterError(f"the package module announces a change and names no package: {result.get('results')}")
    packages.sort(key=lambda package: (package["name"], package["arch"]))
    return {
        "packages": packages,
        "lines": [f"{package['name']} {_rpm.evr_text(package)}" for package in packages],
        "jumps": jumps(packages, installed),
    }


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"update_plan": update_plan}
