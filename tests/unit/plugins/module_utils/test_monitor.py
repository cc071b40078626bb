# SPDX-License-Identifier: GPL-3.0-or-later
"""The sampler: its metrics and warnings, and itself on a tree that stands for a host, by the Python that runs the tests."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import io
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from ansible_collections.el7ops.kmem.plugins.module_utils import _kmem, _monitor

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.normpath(os.path.join(HERE, "..", "..", "..", ".."))
ROLE = os.path.join(REPO, "roles", "monitor")


def facts(leaked=100, live=50, days=None, soonest=None, state="active", capped=False):
    forecast = {"leaked_per_day": 7.5 if days else None, "days_left": days, "days_left_between": [soonest, None] if days else None}
    return {"slab": {"leaked": leaked, "capped": capped}, "cgroup": {"num_cgroups": live, "live": None}, "accounting": {"state": state}, "forecast": forecast,
            "sample": {"at": 1700000000}, "missing": []}  # fmt: skip


def values(text):
    return dict(line.split(" ") for line in text.split("\n") if line and not line.startswith("#"))


def test_metrics():
    seen = values(_monitor.metrics(facts(days=20.5, soonest=11.0)))
    assert seen["el7ops_kmem_ids_left"] == "65385" and seen["el7ops_kmem_days_left_soonest"] == "11.0" and seen["el7ops_kmem_accounting_active"] == "1"
    assert len(seen) == len(_monitor.METRICS)


def test_what_is_not_known_is_no_zero():
    seen = values(_monitor.metrics(facts(leaked=None, live=None, state="unknown")))
    assert list(seen) == ["el7ops_kmem_sample_timestamp_seconds"]
    seen = values(_monitor.metrics(facts(leaked=0, days=20.5, soonest=11.0, capped=True)))
    assert sorted(seen) == ["el7ops_kmem_%s" % name for name in ("accounting_active", "live_groups", "sample_timestamp_seconds")]


@pytest.mark.parametrize("host, words", [
    (facts(), []), (facts(leaked=60000), ["5485 of 65535"]), (facts(days=20, soonest=13), ["used up in 13 days"]), (facts(days=20, soonest=15), []),
    (facts(leaked=None), ["could not be counted"]), (facts(leaked=60000, days=3, soonest=1, capped=True), ["in part only"]),
    (facts(leaked=60000, days=3, soonest=1), ["5485", "in 1 days"]),
])  # fmt: skip
def test_warnings(host, words):
    said = _monitor.warnings(host, 15000, 14)
    assert len(said) == len(words) and all(word in sentence for word, sentence in zip(words, said))


def test_every_alert_uses_metrics_that_are_written_and_the_readme_names_all():
    known = set("el7ops_kmem_%s" % name for name, dummy, value in _monitor.METRICS)
    with io.open(os.path.join(ROLE, "files", "alerts.yml"), encoding="utf-8") as stream:
        used = set(re.findall(r"el7ops_kmem_\w+", " ".join(re.findall(r"expr: (.*)", stream.read()))))
    assert used and used <= known
    # a host whose last accounted group is gone leaked all the same
    assert "el7ops_kmem_accounting_active" not in used
    with io.open(os.path.join(ROLE, "README.md"), encoding="utf-8") as stream:
        readme = stream.read()
    assert [name for name, dummy, value in _monitor.METRICS if "_%s`" % name not in readme] == []


def test_the_sampler_on_a_tree(tmpdir):
    root, home = str(tmpdir.mkdir("root")), str(tmpdir.mkdir("home"))
    with io.open(os.path.join(ROLE, "vars", "main.yml"), encoding="utf-8") as stream:
        names = re.search(r"__monitor_library:\n((?:  - \w+\n)+)", stream.read()).group(1).replace("-", "").split()
    folder = home
    for part in ("ansible_collections", "el7ops", "kmem", "plugins", "module_utils"):
        folder = os.path.join(folder, part)
        os.mkdir(folder)
        open(os.path.join(folder, "__init__.py"), "w").close()
    for name in names:
        shutil.copy(os.path.join(REPO, "plugins", "module_utils", name + ".py"), folder)
    files = (("proc/mounts", "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n"), ("proc/cgroups", "memory\t4\t3\t1\n"), ("proc/uptime", "90000.0 1.0\n"))
    for path, text in files:
        if not os.path.isdir(os.path.dirname(os.path.join(root, path))):
            os.makedirs(os.path.dirname(os.path.join(root, path)))
        with open(os.path.join(root, path), "w") as stream:
            stream.write(text)
    os.makedirs(os.path.join(root, "sys/fs/cgroup/memory/docker"))
    open(os.path.join(root, "sys/fs/cgroup/memory/cgroup.procs"), "w").close()
    for number in range(20):
        os.makedirs(os.path.join(root, "sys/kernel/slab/dentry(%d:%064x)" % (number, number)))
    ring, metrics = os.path.join(home, "var/samples.json"), os.path.join(home, "el7ops_kmem.prom")

    def sample():
        argv = [sys.executable, os.path.join(ROLE, "files", "sample.py"), home, ring, metrics, "15000", "14", root]
        return subprocess.check_output(argv, env={"PATH": os.environ["PATH"]}).decode("utf-8")

    assert "<6>20 leaked, 3 live, 65512 ids left" in sample()
    with open(metrics) as stream:
        assert values(stream.read())["el7ops_kmem_leaked_groups"] == "20"
    assert os.stat(ring).st_mode & 0o777 == 0o600 and os.stat(metrics).st_mode & 0o777 == 0o644
    with open(ring) as stream:
        kept = json.load(stream)
    assert [entry["leaked"] for entry in kept] == [20]
    with open(ring, "w") as stream:
        json.dump([dict(kept[0], at=kept[0]["at"] - 7200, leaked=10)], stream)
    sample()
    with open(ring) as stream:
        assert [entry["leaked"] for entry in json.load(stream)] == [10, 20]
    with open(metrics) as stream:
        assert float(values(stream.read())["el7ops_kmem_leaked_per_day"]) == pytest.approx(120, abs=1)
    with open(ring, "w") as stream:
        stream.write("{damaged")
    assert "<4>%s was damaged" % ring in sample()
    shutil.rmtree(os.path.join(root, "sys/kernel/slab"))
    assert "could not be counted" in sample()


def test_the_quick_sample_gives_the_same_count_as_the_full_look():
    with io.open(os.path.join(REPO, "tests", "fixtures", "captures", "3.10.0-1160-leaking.json"), encoding="utf-8") as stream:
        doc = json.load(stream)
    quick = dict((key, doc[key]) for key in ("schema", "taken_at", "uname", "uptime_s", "files", "slab", "memory_cgroups"))
    assert _kmem.decide(quick)["slab"]["leaked"] == _kmem.decide(doc)["slab"]["leaked"] == 987
