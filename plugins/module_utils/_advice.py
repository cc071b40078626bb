# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which strategy fits a host: a pure function of its facts, argued in sentences."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import re

TEXT = (type(""), type(u""))
NEARLY_FULL = 60000
MANY_UNITS = 60
# (PO): proprietary, out of tree; E unsigned alone is what a self-made module of the same tree has
OUT_OF_TREE = r"\(([A-Z]*[OP][A-Z]*)\)"
CLUSTER = ("kubelet", "k3s")
# packages whose runc strategy runc exchanges, where no binary was looked at
OF_PACKAGES = ("containerd.io", "docker-ce", "docker-ee", "docker-engine", "runc")
# the runc of CentOS' Docker, which is started with a flag that later ones do not have (containerd 0.2, --console)
OLD_STYLE = ("docker-runc-current", "docker-runc-latest")


def host_facts(doc):
    """{units, out_of_tree, live_restore}: what binds a host to its kernel, and whether containers outlive dockerd."""
    files = doc.get("files") if isinstance(doc.get("files"), dict) else {}
    modules = files.get("/proc/modules")
    foreign = None
    if isinstance(modules, TEXT):
        foreign = sorted(line.split(" ")[0] for line in modules.split("\n") if re.search(OUT_OF_TREE, line))
    units = doc.get("units")
    docker = doc.get("docker") if isinstance(doc.get("docker"), dict) else {}
    return {"units": len(units) if isinstance(units, list) else None, "out_of_tree": foreign, "live_restore": docker.get("live_restore")}


def recommend(facts, unread):
    """{strategy, reasons, avoid}; strategy is one of the playbook remediate, or none. C(unread): what of the installed was not read.

    In this order: nothing to do; unknown; only a reboot (nothing can switch accounting on any more, what leaked stays);
    nokmem where the build honours it; else runc where the host is bound to its kernel and runc is all that enables;
    else a new kernel.
    """
    verdict, kernel = facts["verdict"], facts["kernel"]
    if verdict in ("not_applicable", "protected"):
        return advice("none", ["The host is %s: there is nothing to do." % verdict.replace("_", " ")], [])
    if verdict == "unknown":
        return advice("none", ["First find out what is missing: %s." % "; ".join(facts["missing"] or ["nothing was read"])],
                      ["Do not read unknown as healthy."])  # fmt: skip
    if kernel["line"] != "el7":
        return advice("none", ["This is not a kernel of EL7, and this collection changes only hosts that run one. A kernel of 4.5 or later, or "
                               "a runtime that does not touch kernel memory, ends it."], [])  # fmt: skip
    on = [item for item in facts["enablers"] if item["kmem"] == "on"]
    unsure = [item for item in facts["enablers"] if item["kmem"] == "unknown"]
    own = [item["name"] for item in on + unsure if item["kind"] not in ("runc", "engine")]
    leaked = facts["slab"]["leaked"]
    reasons = []
    if (facts["cgroup"]["num_cgroups"] or 0) >= NEARLY_FULL > (leaked or 0):
        reasons.append("Find out what leaves so many live memory cgroups behind: they fill the id space, not the leak. Removing some of them helps "
                       "at once, without a reboot.")  # fmt: skip
    strategy = choose(facts, on, unsure + unread, own, reasons)
    if verdict == "failing" and facts["symptoms"]["probe"] is None and facts["slab"]["owners"] == 0 and not reasons[0].startswith("Find out"):
        reasons.insert(0, "No removed group holds an id (/sys/kernel/slab), which does not go with that line: look first whether it is of this host "
                          "and of this bug (diagnose with -e kmem_probe=true tries it).")  # fmt: skip
    if verdict in ("leaking", "failing") and leaked != 0:
        reasons.append("What has leaked is freed by a reboot only.")
    if own and strategy != "none":
        reasons.append("%s switches kmem accounting on by itself, so another runc alone does not help." % " and ".join(own))
    cluster = any(item["kind"] in CLUSTER for item in facts["enablers"])
    if strategy not in ("runc", "none"):
        reasons.append("One node at a time, drained: this is a node of a cluster." if cluster
                       else "No cluster was seen that takes over while this host reboots: choose a window.")  # fmt: skip
    avoid = ["Updating EL7's kernel alone: no 3.10 build is fixed, newer ones only leak more slowly.", "drop_caches: it frees memory, not one id."]
    if bound(facts) and strategy != "upgrade":
        avoid.append("A new kernel line without a test: %s." % "; ".join(bound(facts)))
    return advice(strategy, reasons, avoid)


def choose(facts, on, unsure, own, reasons):
    """The strategy; says why. C(unsure): what may switch accounting on, known or not."""
    kernel, ties = facts["kernel"], bound(facts)
    runcs = [item["name"] for item in on if item["kind"] == "runc"]
    exchangeable = [name for name in runcs if not name.endswith(OLD_STYLE)]
    exchangeable = exchangeable or ["the runc of %s" % item["name"] for item in on if item["name"] in OF_PACKAGES and not runcs]
    effective = kernel["nokmem_support"] == "honoured" and facts["cmdline"]["nokmem"] and facts["accounting"]["state"] != "active"
    used = [item for item in on if not item["idle"]]
    done = not used and not unsure and facts["enablers"]
    if (facts["cgroup"]["num_cgroups"] or 0) >= NEARLY_FULL and facts["slab"]["leaked"] == 0 and (effective or done):
        return "none"
    # containers of before keep the accounting that they were started with, and those of another runtime that runtime
    if facts["verdict"] in ("active", "leaking", "failing") and done:
        reasons.append("Nothing that is installed switches kmem accounting on any more, so a reboot ends it%s."
                       % (", once containers that were created with another runtime are created anew" if on else ""))  # fmt: skip
        return "reboot"
    if kernel["nokmem_support"] == "honoured" and not facts["cmdline"]["nokmem"]:
        reasons.append("This kernel honours cgroup.memory=nokmem: one argument and one reboot end the leak.")
        if ties:
            reasons.append("It keeps the kernel, which this host needs: %s." % "; ".join(ties))
        if exchangeable and not own and facts["verdict"] in ("exposed", "active", "leaking"):
            reasons.append("Without any reboot now: strategy runc exchanges %s, and stops further leaking." % ", ".join(exchangeable))
        return "mitigate"
    if kernel["nokmem_support"] == "honoured":
        reasons.append("cgroup.memory=nokmem is already given and does not help here.")
    else:
        reasons.append("This kernel %s cgroup.memory=nokmem: it needs 3.10.0-1062.4.1 or later, or a newer kernel line."
                       % {"ignored": "ignores"}.get(kernel["nokmem_support"], "is not known to honour"))  # fmt: skip
    if ties and exchangeable and not own:
        reasons.append("The host is bound to its kernel (%s), and only %s switches accounting on: exchange that. No reboot is needed to stop "
                       "the leak." % ("; ".join(ties), ", ".join(exchangeable)))  # fmt: skip
        return "runc"
    if ties:
        reasons.append("The host is bound to its kernel (%s): look at each before the upgrade, or update within 3.10 and use nokmem." % "; ".join(ties))
    return "upgrade"


def bound(facts):
    """What speaks against a new kernel line, as phrases."""
    host, ties = facts["host"], []
    if host["out_of_tree"]:
        ties.append("modules from outside the kernel: %s" % ", ".join(host["out_of_tree"][:8]))
    if (host["units"] or 0) >= MANY_UNITS:
        ties.append("%d services run on it" % host["units"])
    return ties


def advice(strategy, reasons, avoid):
    return {"strategy": strategy, "reasons": reasons, "avoid": avoid}
