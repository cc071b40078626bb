# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs pip and setuptools from the wheels beside this file (stands in for Debian's ensurepip).

Runs on Python 2.7 only; see lab/python27/__init__.py.
"""
import glob
import os
import subprocess
import sys


def bootstrap():
    """Install the bundled pip and setuptools; arguments are ignored, as none changes what is needed here."""
    bundled = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_bundled")
    pip = glob.glob(os.path.join(bundled, "pip-*.whl"))[0]
    subprocess.check_call(
        [sys.executable, os.path.join(pip, "pip"), "install", "--no-index", "--no-cache-dir",
         "--find-links", bundled, "--upgrade", "setuptools", "pip"])
