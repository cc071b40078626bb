# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection awx.awx, which playbooks/awx_configure.yml needs on the controller; the tests run it with this one.

PyPI's package "ansible" holds it among a hundred others. Only its folder is kept; pip checks the download against the sha256 here.
"""

from __future__ import annotations

import pathlib
import subprocess
import zipfile

from lab import cache, venv

PINNED = "ansible==9.13.0 --hash=sha256:b64c6e8cad0171576e0ed4b1fd48a5dc551128580dbb979d0e8b4cd85b969074"
FOLDER = "ansible_collections/awx/awx/"


def ensure() -> pathlib.Path:
    """Return a folder in which Ansible finds awx.awx, made first where it is missing."""
    return cache.entry("awx-collection", cache.key(PINNED, FOLDER), _build)


def _build(target: pathlib.Path) -> None:
    wheels = target.parent / "wheels"
    wheels.mkdir()
    (wheels / "pinned.txt").write_text(PINNED)
    subprocess.run(
        [str(venv.ensure() / "pip"), "download", "-qq", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:",
         "--require-hashes", "-d", str(wheels), "-r", str(wheels / "pinned.txt")],
        check=True,
    )  # fmt: skip
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target, [name for name in archive.namelist() if name.startswith(FOLDER)])
