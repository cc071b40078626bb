# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sampler of role monitor writes: metrics for node_exporter and warnings, as pure functions of the facts."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

ID_SPACE = 65535


def live(facts):
    number = facts["cgroup"]["num_cgroups"]
    return facts["cgroup"]["live"] if number is None else number


def leaked(facts):
    """How many have leaked; None where that was counted in part only."""
    return None if facts["slab"]["capped"] else facts["slab"]["leaked"]


def ids_left(facts):
    return None if leaked(facts) is None or live(facts) is None else max(0, ID_SPACE - leaked(facts) - live(facts))


def forecast(facts, name):
    return None if facts["slab"]["capped"] else facts["forecast"][name]


def soonest(facts):
    return (forecast(facts, "days_left_between") or [None])[0]


def active(facts):
    state = facts["accounting"]["state"]
    return None if state == "unknown" else int(state == "active")


# name, what it is, and where it comes from
METRICS = (
    ("leaked_groups", "Memory cgroups that are gone and still hold their id.", leaked),
    ("live_groups", "Live memory cgroups.", live),
    ("ids_left", "Memory cgroup ids that are neither leaked nor live, of 65535.", ids_left),
    ("accounting_active", "1 where kmem accounting is on in a live memory cgroup.", active),
    ("leaked_per_day", "How many leak per day, from the kept samples.", lambda facts: forecast(facts, "leaked_per_day")),
    ("days_left", "Days until the ids are used up, at that rate.", lambda facts: forecast(facts, "days_left")),
    ("days_left_soonest", "The same, at the highest rate that the samples allow.", soonest),
    ("sample_timestamp_seconds", "When the sample was taken.", lambda facts: facts["sample"]["at"]),
)  # fmt: skip


def metrics(facts):
    """The text of a file for node_exporter's textfile collector. What is not known has no line, so that it is no zero."""
    lines = []
    for name, about, value in METRICS:
        number = value(facts)
        if number is not None:
            lines += ["# HELP el7ops_kmem_%s %s" % (name, about), "# TYPE el7ops_kmem_%s gauge" % name, "el7ops_kmem_%s %s" % (name, number)]
    return "\n".join(lines) + "\n"


def warnings(facts, least_ids, least_days):
    """Sentences for the journal where a threshold is reached."""
    said = []
    left, days = ids_left(facts), soonest(facts)
    if left is not None and left <= least_ids:
        said.append("%d of %d memory cgroup ids are left (%d leaked, %d live); at 0 no container can start" % (
            left, ID_SPACE, facts["slab"]["leaked"], live(facts)))
    if days is not None and days <= least_days:
        said.append("the memory cgroup ids can be used up in %g days (%s a day leak)" % (days, facts["forecast"]["leaked_per_day"]))
    if facts["slab"]["leaked"] is not None and leaked(facts) is None:
        said.append("leaked memory cgroups could be counted in part only, as not all live ones were read in time: at least %d" % facts["slab"]["leaked"])
    elif leaked(facts) is None:
        said.append("leaked memory cgroups could not be counted: %s" % "; ".join(facts["missing"] or ["/sys/kernel/slab or the memory cgroups were not read"]))
    return said
