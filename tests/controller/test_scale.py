# SPDX-License-Identifier: GPL-3.0-or-later
"""A host at the end of its ids: 20,000 live memory cgroups, 200,000 names in /sys/kernel/slab, read by the target's Python."""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO))

from lab import python27  # noqa: E402

READ = """
import json, os, sys, time
sys.path.insert(0, sys.argv[2])
for name in ("ansible_collections", "ansible_collections/el7ops", "ansible_collections/el7ops/kmem", "ansible_collections/el7ops/kmem/plugins",
             "ansible_collections/el7ops/kmem/plugins/module_utils"):
    module = type(sys)(name.replace("/", "."))
    module.__path__ = [os.path.join(sys.argv[2], name)]
    sys.modules[module.__name__] = module
from ansible_collections.el7ops.kmem.plugins.module_utils import _capture, _child, _kmem
begin = time.time()
items, finished = _child.stream_from_child(lambda emit: _capture.collect(emit, root=sys.argv[1]), 30)
doc = dict(items, uname={"release": "3.10.0-1127.el7.x86_64", "machine": "x86_64"})
facts = _kmem.decide(doc)
took = time.time() - begin
assert finished, doc.get("failure")
print(json.dumps([took, facts["verdict"], facts["cgroup"]["live"], facts["slab"]["entries"], facts["slab"]["leaked"]]))
"""


def tree(root, live, names):
    """A /proc, /sys/fs/cgroup/memory and /sys/kernel/slab of this size; every twentieth name is of a live group."""
    for path, text in (("proc/mounts", "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n"), ("proc/cgroups", f"memory\t4\t{live}\t1\n"),
                       ("proc/cmdline", "quiet\n"), ("proc/uptime", "86400.0 1.0\n")):  # fmt: skip
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    docker = root / "sys/fs/cgroup/memory/docker"
    docker.mkdir(parents=True)
    (docker.parent / "cgroup.procs").touch()
    for number in range(live):
        (docker / f"{number:064x}").mkdir(parents=True)
    slab = root / "sys/kernel/slab"
    slab.mkdir(parents=True)
    for number in range(names):
        owner = number // 10
        (slab / f"cache-{number % 10}({owner}:{owner:064x})").touch()


@pytest.mark.parametrize("python", ["2.7", "3"])
def test_a_host_at_its_end_takes_less_than_a_second_more(python):
    shm = pathlib.Path("/dev/shm")
    root = pathlib.Path(tempfile.mkdtemp(dir=shm if shm.is_dir() else None))
    try:
        took = []
        for name, live, names in (("small", 10, 100), ("large", 20000, 200000)):
            tree(root / name, live, names)
            argv = [str(python27.ensure()) if python == "2.7" else sys.executable, "-c", READ, str(root / name), str(REPO.parents[2])]
            best = None
            for _attempt in range(3):
                out = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120).stdout
                seconds, verdict, seen, entries, leaked = json.loads(out)
                best = min(best or seconds, seconds)
            assert (verdict, seen, entries) == ("active", live + 2, names)
            assert leaked == 0
            took.append(best)
        print(f"Python {python}: small {took[0]:.2f} s, large {took[1]:.2f} s")
        assert took[1] - took[0] < 1
    finally:
        begin = time.time()
        shutil.rmtree(root, ignore_errors=True)
        print(f"removed in {time.time() - begin:.1f} s")
