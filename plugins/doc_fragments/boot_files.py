# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation of the modules that write boot files has in common."""

from __future__ import annotations


class ModuleDocFragment:
    """Options and attributes of modules that write through module_utils/_door.py."""

    DOCUMENTATION = r"""
options:
  backup_dir:
    description:
      - Directory on the host for copies of the files before they are changed. Each run that changes something makes a
        directory in it, named after the time in UTC, that only root can enter.
    type: path
    default: /var/lib/el7ops-kmem/backups
attributes:
  check_mode:
    description: Can run in check mode and return what it would without it.
    support: full
  diff_mode:
    description: Returns details on what has changed when in diff mode.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: linux
"""
