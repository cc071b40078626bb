# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A yum.conf for one transaction."""

from __future__ import annotations

DOCUMENTATION = r"""
name: private_yum_conf
short_description: The host's yum.conf for one transaction with repositories of its own
version_added: 0.2.0
author: el7ops.kmem contributors (@el7ops)
description:
  - Keeps proxy, certificates, plugins and limits of the host, and leaves out what would hide the wanted package or bring others in
    (excludes, other repositories). Signatures are always checked.
positional: reposdir, cachedir
options:
  _input:
    description: Text of yum.conf or dnf.conf.
    type: str
    required: true
  reposdir:
    description: Folder with the repositories.
    type: str
    required: true
  cachedir:
    description: Folder for metadata and packages.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show it
  ansible.builtin.debug:
    msg: "{{ text | el7ops.kmem.private_yum_conf('/var/tmp/x/repos', '/var/tmp/x/cache') }}"
"""

RETURN = r"""
_value:
  description: Text of the file.
  type: str
"""

import configparser

from ansible.errors import AnsibleFilterError

# tsflags may hold noscripts, under which a kernel package makes neither initramfs nor boot entry
DROPPED = (
    "exclude", "excludepkgs", "includepkgs", "reposdir", "cachedir", "keepcache", "gpgcheck", "localpkg_gpgcheck", "timeout",
    "retries", "skip_if_unavailable", "metadata_expire", "tsflags", "assumeno", "downloadonly",
)  # fmt: skip


def private_yum_conf(text, reposdir, cachedir):
    """The text of the private file."""
    parser = configparser.ConfigParser(interpolation=None, strict=False, allow_no_value=True)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise AnsibleFilterError(f"yum.conf cannot be understood: {error}") from error
    main = dict(parser["main"]) if parser.has_section("main") else {}
    lines = ["[main]"]
    lines += [f"{name}={' '.join(value.split())}" for name, value in main.items() if name not in DROPPED and value]
    lines += [f"reposdir={reposdir}", f"cachedir={cachedir}", "keepcache=0", "gpgcheck=1", "localpkg_gpgcheck=1", "timeout=30", "retries=2",
              "skip_if_unavailable=0"]  # fmt: skip
    return "\n".join(lines) + "\n"


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"private_yum_conf": private_yum_conf}
