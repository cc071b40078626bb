# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A CentOS-Base.repo that points to another mirror."""

from __future__ import annotations

DOCUMENTATION = r"""
name: point_repos
short_description: Points the CentOS sections of a .repo file to another mirror
version_added: 0.2.0
author: el7ops.kmem contributors (@el7ops)
description:
  - Comments C(mirrorlist) and C(baseurl) out and writes a new C(baseurl) below, in sections of CentOS only; everything else stays
    as it is, byte for byte.
positional: base
options:
  _input:
    description: Text of the file.
    type: str
    required: true
  base:
    description: The new base, under which C(os/), C(updates/) and C(extras/) are found.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the file for the vault
  ansible.builtin.debug:
    msg: "{{ text | el7ops.kmem.point_repos('http://vault.centos.org/7.9.2009') }}"
"""

RETURN = r"""
_value:
  description: Text of the file.
  type: str
"""

import re

SECTIONS = {"base": "os", "updates": "updates", "extras": "extras", "centosplus": "centosplus", "fasttrack": "fasttrack", "cr": "cr"}
URL = re.compile(r"^#?\s*baseurl\s*=\s*https?://(?:mirror|vault)\.centos\.org/(?:centos/)?(?:\$releasever|7[\d.]*)/(\S+)", re.M)
LIST = re.compile(r"^\s*mirrorlist\s*=\s*https?://mirrorlist\.centos\.org/\S*?[?&]repo=([\w-]+)", re.M)


def comment(match):
    """The matched lines, each behind a #."""
    return re.sub(r"(?m)^(?=.)", "#", match.group())


def tail(name, text):
    """The part of a section's address below the release, or None where the section is not one of CentOS."""
    if name in SECTIONS:
        return f"{SECTIONS[name]}/$basearch/"
    url, mirrors = URL.search(text), LIST.search(text)
    if url:
        return url.group(1)
    return f"{mirrors.group(1)}/$basearch/" if mirrors else None


def point_repos(text, base):
    """The text with its CentOS sections pointing to C(base)."""
    parts = re.split(r"(?m)^(?=\[)", text)
    for number, part in enumerate(parts):
        head = re.match(r"\[([^\]]+)\][^\n]*\n?", part)
        where = tail(head.group(1), part) if head else None
        if not where:
            continue
        new = f"baseurl={base.rstrip('/')}/{where}"
        if re.search(rf"(?m)^{re.escape(new)}$", part) and not re.search(r"(?m)^mirrorlist\s*=", part):
            continue
        end = "" if head.group().endswith("\n") else "\n"
        # with the lines that continue it: they begin with a blank
        rest = re.sub(r"(?m)^(?:mirrorlist|baseurl)\s*=.*\n?(?:[ \t]+\S.*\n?)*", comment, part[head.end() :])
        parts[number] = head.group() + end + new + "\n" + rest
    return "".join(parts)


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"point_repos": point_repos}
