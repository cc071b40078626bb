# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The trial boot: a kernel is booted once, and whatever does not go well ends on the kernel that ran before.

Pure functions over text and dicts. GRUB empties next_entry before it starts the kernel, so a panic, a reset and a power cut
all lead back to the default entry; a unit on the host reboots out of a kernel that runs but that nobody confirms.
"""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import re

from ansible_collections.el7ops.kmem.plugins.module_utils import _cmdline, _grub

PARAMETER = "el7ops_kmem.trial"
ENTRY_ID = "el7ops-kmem-trial"
UNIT = "el7ops-kmem-trial.service"
# panic, oops, softlockup_panic, nmi_watchdog: kernel Documentation, kernel-parameters.txt of 3.10 and of 6.9 know all of them.
# An initramfs that cannot mount its root: no panic, so panic= does not act. What dracut does then is in github.com/dracutdevs/dracut,
# modules.d/98systemd/dracut-emergency.sh (98systemd was its place at the time of EL7; upstream's is 98dracut-systemd by now) and emergency_shell()
# in modules.d/99base/dracut-lib.sh. Commit 32bd2fbb4c8f, without rd.emergency: with rd.shell=0 it says so and ends with code 1, and
# dracut-initqueue.sh begins its loop again, for ever. Commit cd6679c71665, with it: rd.shell=0 starts no shell and then does what
# rd.emergency says, which without it is halt. So both are needed. die() always halts. rd.action_on_fail is not known to either.
# Which package of EL7 brought it was not found out: it is looked up on the host, see emergency_reboot().
PANIC_SECONDS = 15
ARGUMENTS = ("panic=%d" % PANIC_SECONDS, "oops=panic", "softlockup_panic=1", "nmi_watchdog=panic", "rd.shell=0", "rd.emergency=reboot",
             PARAMETER + "=1")
# what ARGUMENTS set, to be put back once the kernel is confirmed; without an effect until then.
# nmi_watchdog=panic sets hardlockup_panic, a file that kernels before 4.4 need not have.
SYSCTLS = ("panic", "panic_on_oops", "softlockup_panic", "hardlockup_panic")
# findings of boot_trial with which the kernel itself would start, and only the way back from it is missing
SURVIVABLE = ("one_shot", "custom_cfg", "default", "environment_block", "grubenv_link")
BEGIN, END = "# BEGIN el7ops.kmem trial boot", "# END el7ops.kmem trial boot"

SERVICE = """# Written by el7ops.kmem, which removes it after the trial boot of a kernel.
[Unit]
Description=Reboot out of a kernel on trial unless it is confirmed (el7ops.kmem)
# the trial entry alone has this argument
ConditionKernelCommandLine=%(parameter)s
# as early as can be, and emergency mode must not end it
DefaultDependencies=no
IgnoreOnIsolate=yes

[Service]
ExecStart=/bin/sh %(guard)s
OOMScoreAdjust=-1000
"""
# a drop-in and not a link in .wants, as a file can be written, read again and put back like all others
WANTS = """# Written by el7ops.kmem, which removes it after the trial boot of a kernel.
[Unit]
Wants=%s
""" % UNIT
# /proc/uptime: a clock that jumps must neither cut the time short nor stretch it
GUARD = """#!/bin/sh
# Written by el7ops.kmem, which removes it after the trial boot of a kernel. Runs on the kernel on trial alone.
[ "$(uname -r)" = '%(kernel)s' ] || exit 0
up() {
    read -r seconds rest < /proc/uptime
    echo "${seconds%%%%.*}"
}
limit=%(login)d
reason=login
started=
while [ "$(up)" -lt "$limit" ]; do
    [ ! -e %(confirmed)s ] || exit 0
    if [ "$reason" = login ] && [ -e %(seen)s ]; then
        reason=services
        limit=$(($(up) + %(services)d))
    fi
    if [ -z "$started" ] && touch %(started)s 2> /dev/null; then
        started=yes
    fi
    sleep 2
done
echo "el7ops.kmem: kernel $(uname -r) was not confirmed in time ($reason), rebooting into %(old)s" > /dev/kmsg
mount -o remount,rw / 2> /dev/null
{
    echo "reason=$reason"
    echo "uptime=$(up)"
    echo "== systemctl --failed"
    timeout 20 systemctl --failed --no-legend --no-pager
    echo "== systemctl list-jobs"
    timeout 20 systemctl list-jobs --no-legend --no-pager
    echo "== ip address"
    timeout 10 ip -o address
    echo "== journal, last lines"
    timeout 20 journalctl -b -n 40 -p warning --no-pager -o short
} > %(record)s 2>&1
sync
# the orderly way first; each of the next is for the case that the one before hangs
timeout 60 systemctl --no-block reboot
sleep %(patience)d
systemctl --force --no-block reboot
sleep 60
echo 1 > /proc/sys/kernel/sysrq
echo s > /proc/sysrq-trigger
sleep 5
echo b > /proc/sysrq-trigger
"""
# seconds for an orderly shutdown: more than the longest that a service of EL7 is given to stop (mariadb.service: TimeoutSec=300), as a
# database must not be killed in the middle of it
PATIENCE = 360


def title(kernel):
    return "el7ops.kmem trial boot of %s" % kernel


def entry(config, wanted, without_nokmem=False):
    """The menu entry of the trial, made of the one that boots this kernel: same kernel and initramfs, more arguments.

    C(without_nokmem): cgroup.memory=nokmem is left out, where the new kernel is to run with kmem accounting.
    """
    start, end = wanted["block"]
    first, last = [offset - start for offset in wanted["span"]]
    text = config[start:end]
    line = text[first:last]
    if without_nokmem:
        line = _cmdline.change(line, "cgroup.memory", "nokmem", "absent", _cmdline.GRUB)
    line = _cmdline.append(line, ARGUMENTS, _cmdline.GRUB)
    body = text[text.index("\n") + 1:first] + line + text[last:]
    # --unrestricted: a GRUB with a password boots it without one, as it does EL7's own entries
    return "menuentry '%s' --id %s --unrestricted {\n%s" % (title(wanted["version"]), ENTRY_ID, body.rstrip("\n") + "\n")


def custom(text, block, fallback):
    """custom.cfg with the trial's part in the place of an older one, or without it (C(block) None); None for an empty file.

    C(fallback): index of the entry that GRUB shall take where it cannot even load the kernel, or None.
    """
    rest = re.sub(r"(?ms)^%s.*?^%s\n?" % (BEGIN, END), "", text)
    if block is not None:
        rest += "\n" * bool(rest and not rest.endswith("\n")) + "%s, which removes this part\n%s" % (BEGIN, block)
        rest += "set fallback=\"%s\"\n" % fallback if fallback is not None else ""
        rest += END + "\n"
    return rest or None


def serves_custom(config):
    """Whether a grub.cfg reads custom.cfg (/etc/grub.d/41_custom)."""
    return bool(re.search(r"(?m)^[ \t]*source[ \t]+\S*/custom\.cfg\b", config))


def password_stops(config, user_cfg, default):
    """Whether GRUB asks for a password before it boots the default entry."""
    guarded = "GRUB2_PASSWORD=" in (user_cfg or "")
    plain = re.search(r"(?m)^[ \t]*set[ \t]+superusers=", config)
    # EL7's 01_users sets superusers only where user.cfg has a password
    if not guarded and not (plain and "GRUB2_PASSWORD" not in config):
        return False
    header = config[default["block"][0]:].partition("\n")[0]
    return "--unrestricted" not in header


def hidden_menu(defaults, config):
    """Why nobody at the console may have the time to choose another entry, or "".

    What counts is the first timeout in grub.cfg, as GRUB 2.02 takes the first branch of 00_header; /etc/default/grub says what
    the next grub2-mkconfig makes of it.
    """
    live = re.search(r"(?m)^[ \t]*set[ \t]+timeout=[\"']?(-?[0-9]+)", config)
    if live and live.group(1) == "0":
        return "grub.cfg sets timeout=0"
    try:
        value = _grub.variable_value(defaults, "GRUB_TIMEOUT") or "5"
    except ValueError as error:
        return "How long GRUB shows its menu after the next grub2-mkconfig cannot be told (%s)" % error
    return "GRUB_TIMEOUT is 0" if value.strip("\"'") == "0" else ""


def environment_writable(filesystem, device, uuid):
    """Why GRUB cannot write the environment block at boot, or "".

    GRUB writes the blocks of the file in place and knows no volume manager, RAID or copy-on-write file system for that
    (GNU GRUB manual, "The GRUB environment block"). C(device): name below /sys/block; C(uuid): dm/uuid of a mapped one.
    """
    if filesystem in ("btrfs", "zfs"):
        return "it lies on %s" % filesystem
    if device.startswith("md"):
        return "it lies on software RAID (%s)" % device
    if device.startswith("dm-") and not re.match(r"(part\d+-)?mpath-", uuid):
        kind = {"LVM": "a logical volume", "CRYPT": "an encrypted volume"}.get(uuid.partition("-")[0], "a mapped device")
        return "it lies on %s (%s)" % (kind, device)
    if not device:
        return "the device that it lies on cannot be found"
    return ""


def emergency_reboot(scripts):
    """Whether this dracut acts on rd.emergency=reboot: C(scripts) maps their names to their text.

    dracut-lib.sh ends the wait for the root device, dracut-emergency.sh what systemd could not mount.
    """
    found = [scripts[name] for name in ("dracut-lib.sh", "dracut-emergency.sh") if name in scripts]
    return bool(found) and all("rd.emergency" in text for text in found)


def panic_text(texts):
    """The last panic in kernel logs that pstore or kdump kept, with the line before it; "" where there is none."""
    found = ""
    for text in texts:
        lines = [line for line in re.sub(r"(?m)^<\d+>", "", text).splitlines() if line.strip()]
        for number, line in enumerate(lines):
            if "Kernel panic - not syncing" in line or "BUG: unable to handle" in line:
                found = " / ".join(one.strip() for one in lines[max(0, number - 1):number + 1])
    return found


def hardlockup_default(build_config):
    """kernel.hardlockup_panic of a kernel without nmi_watchdog=panic, from its /boot/config: what it was built with."""
    return "1" if re.search(r"(?m)^CONFIG_BOOTPARAM_HARDLOCKUP_PANIC(=y|_VALUE=1)$", build_config) else "0"


def waiting(record):
    """(units whose job ran, units whose job waited) when the host rebooted, from the record's systemctl list-jobs."""
    jobs = re.findall(r"(?m)^ *[0-9]+ +(\S+) +\S+ +(running|waiting)\b", record.partition("== systemctl list-jobs")[2].partition("\n== ")[0])
    return [unit for unit, state in jobs if state == "running"], [unit for unit, state in jobs if state == "waiting"]


def unfinished(record, otherwise):
    """What the record says of a boot that had not come to its end; C(otherwise) where it had."""
    hang, held = waiting(record or "")
    if not hang and not held:
        return otherwise
    names = ", ".join((hang or held)[:5])
    if not hang:
        return "The boot had not come to its end: jobs still waited (%s)" % names
    return "The boot had not come to its end: %s did not get ready%s" % (
        names, ", and %d more jobs waited" % len(held) if held else "")


def reason(record, started, panic, kernel):
    """Why a trial did not come to its end, as one sentence."""
    if panic:
        return "Kernel %s panicked: %s." % (kernel, panic)
    said = dict(line.partition("=")[::2] for line in (record or "").split("== ", 1)[0].splitlines())
    if said.get("reason") == "login":
        return ("Kernel %s ran for %s s, but nobody logged in. %s. The host rebooted by itself." % (
            kernel, said.get("uptime"), unfinished(record, "Look at the network, sshd and the controller")))
    if said.get("reason") == "services":
        return ("Kernel %s ran for %s s and the controller logged in, but never confirmed it. %s. The host rebooted by itself." % (
            kernel, said.get("uptime"), unfinished(record, "Either a service did not come up, or the controller went away")))
    if started:
        return ("Kernel %s reached the init system and then ended without a word: a reset, a power cut, a reboot by hand, or a panic "
                "that neither pstore nor kdump kept." % kernel)
    return ("Kernel %s never reached the init system: it panicked or hung early, or its root file system was not found. Neither pstore nor "
            "kdump kept anything; look at the console's log (serial console, IPMI SOL, the hypervisor's)." % kernel)
