# SPDX-License-Identifier: GPL-3.0-or-later
"""When the ids will be used up, and where that cannot be said."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import pytest
from ansible_collections.el7ops.kmem.plugins.module_utils import _forecast, _kmem

DAY = 86400
BOOT = 1700000000


def at(days, leaked, boot=BOOT, live=100, **more):
    return dict({"at": BOOT + int(days * DAY), "boot": boot, "leaked": leaked, "live": live, "capped": False}, **more)


def steady(days, per_day, first=0):
    return [at(day, first + int(per_day * day)) for day in range(1, days + 1)]


def test_a_steady_leak():
    result = _forecast.forecast(steady(10, 1000))
    assert result["leaked_per_day"] == 1000 and result["samples"] == 10 and result["reason"] is None
    free = 65535 - 10000 - 100
    assert result["days_left"] == round(free / 1000.0, 1)
    soonest, latest = list(result["days_left_between"] or [])
    assert soonest < result["days_left"] < latest and latest - soonest < 5


def test_the_uncertainty_grows_where_the_parts_differ_and_where_little_was_seen():
    def width(samples):
        soonest, latest = list(_forecast.forecast(samples)["days_left_between"] or [])
        return 1e9 if latest is None else latest - soonest

    jumpy = [at(day, leaked) for day, leaked in zip(range(1, 11), (0, 0, 0, 4000, 4000, 4000, 9000, 9000, 9000, 9000))]
    assert width(jumpy) > 5 * width(steady(10, 1000)[:9] + [at(10, 9000)])
    assert width([at(1, 0), at(2, 20)]) > width(steady(10, 20))
    assert _forecast.forecast([at(1, 0), at(2, 3)])["days_left_between"][1] is None  # three steps may as well be none from now on


@pytest.mark.parametrize("days, least, most", [(1.1, 10, 13), (2, 9, 12), (5, 6, 9), (8, 3, 6)])
def test_a_new_job_leaks_at_a_rate_of_its_own(days, least, most):
    quiet = [at(half / 48.0, 3) for half in range(48 * 60)]
    leaking = [at(60 + half / 48.0, 3 + int(5000 * half / 48.0)) for half in range(int(48 * days) + 1)]
    kept = []
    for entry in quiet + leaking:
        kept = _forecast.keep(kept, entry)
    result = _forecast.forecast(kept)
    soonest = list(result["days_left_between"] or [])[0]
    assert least < soonest < most and soonest <= result["days_left"], result
    assert "5000 a day in the last 24.0 hours" in result["basis"]


def test_what_was_counted_in_part_is_not_compared():
    part = at(2, 0, capped=True)
    assert _forecast.forecast([at(1, 1000), part, at(3, 3000)])["leaked_per_day"] == 1000
    assert "in part only" in _forecast.forecast([at(1, 1000), part])["reason"] and _forecast.forecast([at(1, 1000), part])["leaked_per_day"] is None


@pytest.mark.parametrize("samples, reason", [
    ([], "not be counted"), ([at(0.1, None)], "not be counted"),
    ([dict(at(1, 5), at=None)], "time of the sample"), ([dict(at(1, 5), boot=None)], "time of the sample"),
    ([at(0.1, 5)], "less than 6 hours"), ([at(0.1, 5), at(0.11, 6)], "less than an hour"), (steady(3, 0), "nothing leaked in 2.0 days"),
    ([at(1, 50), at(2, 40)], "fell from 50 to 40"), ([at(1, 0)], "nothing leaked in 24.0 hours"), ([at(1, 500), "garbage", at(1.5, None)], "not be counted"),
])  # fmt: skip
def test_where_it_cannot_be_said(samples, reason):
    result = _forecast.forecast(samples)
    assert result["days_left"] is None and reason in result["reason"], result


def test_one_sample_is_compared_with_the_boot():
    result = _forecast.forecast([at(2, 2000)])
    assert result["leaked_per_day"] == 1000 and result["days_left"] == round((65535 - 2100) / 1000.0, 1) and "boot" in result["basis"]


def test_samples_of_another_boot_do_not_count_and_a_clock_may_move_a_little():
    old = [at(day - 30, 60000, boot=BOOT - 40 * DAY) for day in range(5)]
    assert _forecast.forecast(old + steady(10, 100))["leaked_per_day"] == 100
    assert _forecast.forecast([at(1, 100, boot=BOOT + 60)] + steady(10, 100))["samples"] == 10


def test_a_part_only_is_said():
    samples = steady(5, 1000)
    samples[-1]["capped"] = True
    assert "in part only" in _forecast.forecast(samples)["reason"]


def test_the_ring_stays_small_and_keeps_the_first():
    ring = []
    for number in range(3000):
        ring = _forecast.keep(ring, at(number / 24.0, number), limit=100)
    assert len(ring) <= 100 and ring[0]["leaked"] == 0 and ring[-1]["leaked"] == 2999
    assert _forecast.forecast(ring)["leaked_per_day"] == 24
    assert _forecast.keep("garbage", {}, 5) == [] and len(_forecast.keep([1, {}, at(1, 1)], at(2, 2), 5)) == 2


def test_two_looks_at_a_host_make_a_forecast():
    doc = {"schema": 1, "taken_at": "2026-11-23T20:00:00Z", "uptime_s": 86400, "uname": {"release": "3.10.0-1127.el7.x86_64"},
           "slab": {"entries": 400, "per_cgroup": ["a(%d:x%d)" % (n, n) for n in range(100)]}, "memory_cgroups": {"live": 5, "capped": False, "names": []}}
    first = _kmem.decide(doc)
    assert first["sample"] == {"at": 1795464000, "boot": 1795377600, "leaked": 100, "live": 5, "capped": False}
    doc.update(taken_at="2026-11-25T20:00:00Z", uptime_s=3 * 86400, slab={"entries": 900, "per_cgroup": ["a(%d:x%d)" % (n, n) for n in range(300)]})
    assert _kmem.decide(doc, [first["sample"]])["forecast"]["leaked_per_day"] == 100
    assert _kmem.decide(dict(doc, samples=[first["sample"]]))["forecast"]["samples"] == 2
