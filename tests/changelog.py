# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes CHANGELOG.rst from the fragments in changelogs/ for the version in galaxy.yml, which is not released yet."""

import datetime
import pathlib
import subprocess
import sys

import yaml

REPO = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))

from lab import play, venv  # noqa: E402

version = yaml.safe_load((REPO / "galaxy.yml").read_text(encoding="utf-8"))["version"]
# it wants to lie where Ansible looks for collections
where = play.collections() / "ansible_collections" / "el7ops" / "kmem"
subprocess.run(
    [str(venv.ensure() / "antsibull-changelog"), "release", "--update-existing", "--version", version, "--date", f"{datetime.date.today()}"],
    cwd=where, env=venv.environment(play.collections()), check=True,
)  # fmt: skip
