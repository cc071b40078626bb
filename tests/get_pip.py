# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in for the get-pip.py that ansible-test wants to download from a host of its own: pip as this Python brings it."""
from __future__ import absolute_import, division, print_function

import subprocess
import sys

# children: in this process ensurepip would leave PIP_CONFIG_FILE=/dev/null behind
subprocess.check_call([sys.executable, "-m", "ensurepip"])
subprocess.check_call([sys.executable, "-m", "pip", "install"] + sys.argv[1:])
