# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The repositories of a host, out of their files."""

from __future__ import annotations

DOCUMENTATION = r"""
name: repo_files
short_description: Repositories out of yum.conf and the .repo files
version_added: 0.2.0
author: el7ops.kmem contributors (@el7ops)
description: Tells for each repository whether it is enabled and whether its packages' signatures are checked.
positional: main
options:
  _input:
    description: Results of C(ansible.builtin.slurp) over yum.conf and the .repo files.
    type: list
    elements: dict
    required: true
  main:
    description: Path of yum.conf or dnf.conf, which gives the defaults.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the repositories
  ansible.builtin.debug:
    msg: "{{ slurped.results | el7ops.kmem.repo_files('/etc/yum.conf') }}"
"""

RETURN = r"""
_value:
  description: id, path, enabled, gpgcheck.
  type: list
  elements: dict
"""

import base64
import configparser

from ansible.errors import AnsibleFilterError

TRUE = ("1", "yes", "true", "on")


def read(text, path):
    """A parsed file; yum reads them with Python's own parser too."""
    parser = configparser.ConfigParser(interpolation=None, strict=False, allow_no_value=True)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise AnsibleFilterError(f"{path} cannot be understood: {error}") from error
    return parser


def flag(section, name, default):
    """A boolean option as yum understands it."""
    value = section.get(name)
    return default if value in (None, "") else value.strip().lower() in TRUE


def repo_files(files, main):
    """Repositories of these files; the one at C(main) gives the defaults."""
    texts = {file["source"]: base64.b64decode(file["content"]).decode("utf-8", "replace") for file in files}
    conf = read(texts.pop(main, ""), main)
    # neither yum 3 nor dnf checks signatures where nobody asked for it
    default = flag(conf["main"], "gpgcheck", False) if conf.has_section("main") else False
    found = []
    for path, text in texts.items():
        parser = read(text, path)
        for name in parser.sections():
            section = parser[name]
            found.append({"id": name, "path": path, "enabled": flag(section, "enabled", True),
                          "gpgcheck": flag(section, "gpgcheck", default)})  # fmt: skip
    return found


class FilterModule:
    """Filters of el7ops.kmem."""

    def filters(self):
        return {"repo_files": repo_files}
