# SPDX-License-Identifier: GPL-3.0-or-later
"""Collections of others that the tests need on the controller; el7ops.kmem itself depends on none.

awx.awx is what playbooks/awx_configure.yml is written with, the other two hold the connections into Molecule's containers. PyPI's package
"ansible" has them among a hundred others: only their folders are kept. pip checks the download against the sha256 here.
"""

from __future__ import annotations

import pathlib
import subprocess
import zipfile

from lab import cache, venv

PINNED = "ansible==9.13.0 --hash=sha256:b64c6e8cad0171576e0ed4b1fd48a5dc551128580dbb979d0e8b4cd85b969074"
FOLDERS = ("ansible_collections/awx/awx/", "ansible_collections/community/docker/", "ansible_collections/containers/podman/")


def ensure() -> pathlib.Path:
    """Return a folder in which Ansible finds them, made first where it is missing."""
    return cache.entry("others", cache.key(PINNED, *FOLDERS), _build)


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
        archive.extractall(target, [name for name in archive.namelist() if name.startswith(FOLDERS)])
