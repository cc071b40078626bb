# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes one sample of a host: started by el7ops-kmem-monitor.timer, put in place by role el7ops.kmem.monitor.

usage: sample.py LIBRARY RING METRICS LEAST_IDS LEAST_DAYS [ROOT]. Runs on Python 2.7 and 3. Reads the listing of
/sys/kernel/slab and the directories of the memory cgroups, in a child that is given up after 30 seconds; writes the ring
of samples, the metrics where the folder of METRICS is there, and its warnings to the journal.
"""
from __future__ import absolute_import, division, print_function

import json
import os
import sys

LIBRARY, RING, METRICS = sys.argv[1:4]
LEAST_IDS, LEAST_DAYS = int(sys.argv[4]), float(sys.argv[5])
ROOT = sys.argv[6] if len(sys.argv) > 6 else "/"
sys.path.insert(0, LIBRARY)
sys.dont_write_bytecode = True

from ansible_collections.el7ops.kmem.plugins.module_utils import _capture, _child, _disk, _host, _kmem, _monitor  # noqa: E402


def write(path, text, mode):
    staged = _disk.stage_file(path, text.encode("utf-8"))
    os.chmod(staged, mode)
    os.rename(staged, path)


def main():
    items, finished = _child.stream_from_child(lambda emit: _capture.quick(emit, ROOT), 30)
    doc = dict(items)
    if "failure" in doc or not finished:
        doc["notes"] = ["what comes after '%s': %s" % (items[-1][0] if items else "nothing", doc.pop("failure", "reading did not end within 30 seconds"))]
    text = _host.probe_text(RING, 1 << 20)[0]
    try:
        earlier = json.loads(text or "[]")
    except ValueError:
        print("<4>%s was damaged and is begun anew" % RING)
        earlier = []
    facts = _kmem.decide(doc, earlier if isinstance(earlier, list) else [])
    if not os.path.isdir(os.path.dirname(RING)):
        os.makedirs(os.path.dirname(RING), 0o700)
    write(RING, json.dumps(facts["samples"]), 0o600)
    if os.path.isdir(os.path.dirname(METRICS)):
        # node_exporter reads it as a user of its own
        write(METRICS, _monitor.metrics(facts), 0o644)
    # systemd takes the number for the priority: 4 is a warning, 6 is information
    for sentence in _monitor.warnings(facts, LEAST_IDS, LEAST_DAYS):
        print("<4>%s. Look: ansible-playbook el7ops.kmem.diagnose" % sentence)
    print("<6>%s leaked, %s live, %s ids left" % (_monitor.leaked(facts), _monitor.live(facts), _monitor.ids_left(facts)))


main()
