# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults of the trial boot: what is broken on the lab's host, when, and how the host has to end.

What breaks a service or the network acts under the trial entry alone: it stands for a kernel on which that does not work.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab import kernel

EL7, UPDATE, ML = kernel.EL7, kernel.EL7_UPDATE, kernel.KERNEL_ML
DONE, ROLLED_BACK, REFUSED, PAUSED = "done", "rolled_back", "refused", "paused"
ENV = "/boot/grub2/grubenv"
# the words of docs/safety.md for how a fault ended; the last two are those that no fault should have
ENDS = {
    DONE: "the new kernel, confirmed", ROLLED_BACK: "the old kernel, services verified", REFUSED: "the old kernel, the run refused",
    PAUSED: "the old kernel, the update whole, the run paused before ELRepo's kernel",
    "wrong": "**reachable, not as it should be**", "lost": "**lost**",
}  # fmt: skip
TWO_RUNS = "two runs at once"


@dataclass(frozen=True)
class Fault:
    """One line of the matrix. The run is ``remediate`` with strategy upgrade, at the stage that boots the new kernel."""

    name: str  # what breaks
    ends: str  # DONE, ROLLED_BACK, REFUSED or PAUSED
    happens: str  # what the collection does about it, for docs/safety.md
    before: str = ""  # shell on the host, before the run
    kill_at: str = ""  # the controller is killed when this task begins
    kill_after: float = 0
    power: bool = False  # and the power is cut then
    meanwhile: str = ""  # shell on the host when that task begins; nobody is killed then, and the task goes on behind it
    serial: str = ""  # both are cut once this stands on the serial console, and kill_after seconds have gone by
    reset: bool = False  # somebody, or a watchdog, has to reset the host
    between: str = ""  # shell on the host, once the controller is gone
    says: str = ""  # in what the admin reads in the end
    evening: bool = False  # from the beginning of the run on, and not only its last stage
    services_timeout: int = 300  # longer than the services are waited for, or the host reboots under the controller's eyes
    cleans: str = ""  # shell on the host: what the admin is told to type, should the run say that an update was cut off
    quick: bool = False  # in make test too


def argument(word: str) -> str:
    """The new kernel's entry with one more argument, which the trial's entry takes over."""
    return f"grubby --update-kernel=/boot/vmlinuz-{ML} --args={word}"


def only_without_trial(unit: str) -> str:
    place = f"/etc/systemd/system/{unit}.d"
    return f"mkdir -p {place} && printf '[Unit]\\nConditionKernelCommandLine=!el7ops_kmem.trial\\n' > {place}/fault.conf"


HANG = "printf '#!/bin/sh\\nwhile :; do sleep 1000; done\\n' > /sbin/hang && chmod 755 /sbin/hang && " + argument("init=/sbin/hang")
JUMP = (
    "printf '[Unit]\\nConditionKernelCommandLine=el7ops_kmem.trial\\nBefore=ssh.service\\n[Service]\\nType=oneshot\\n"
    "ExecStart=/bin/date -s \"+1 year\"\\n[Install]\\nWantedBy=multi-user.target\\n' > /etc/systemd/system/jump.service"
    " && systemctl enable jump.service"
)
BY_NUMBER = "sed -i s/^GRUB_DEFAULT=.*/GRUB_DEFAULT=1/ /etc/default/grub && grub2-mkconfig -o /boot/grub2/grub.cfg"
THIEF = (
    "sed -i s/^DEFAULTKERNEL=.*/DEFAULTKERNEL=kernel-lt/ /etc/sysconfig/kernel"
    " && rpm -i http://mirror.lab/elrepo-kernel/kernel-lt-%s.rpm && grubby --default-kernel | grep -q 5.4" % kernel.KERNEL_LT
)
FULL = "fallocate -l $(( $(df --output=avail -B1 / | tail -1) - 8192 )) /filler; cat /dev/zero > /filler2 2> /dev/null; true"
# what is free in the block is #s; a name, and less than the trial needs, is kept free
FILL = f"grub2-editenv {ENV} set filler=$(head -c $(( $(tr -dc '#' < {ENV} | wc -c) - 40 )) /dev/zero | tr '\\0' x)"
# the host tells on its console when the database has the new version and not yet lost the old one; rpm is slow, so it is not asked before
# something is installed
HALFWAY = "half of the transaction is done"
TELL = (
    "touch /run/tell; systemd-run --no-block sh -c 'until [ /var/lib/rpm/Packages -nt /run/tell ]; do sleep 0.5; done;"
    " until rpm -q mariadb-server | sed -n 2p | grep -q .; do sleep 0.05; done; echo %s > /dev/ttyS0'" % HALFWAY
)
# stands for package-cleanup --cleandupes (yum-utils), which the lab's yum has not
CLEAN = (
    "for name in $(rpm -qa --qf '%{name}\n' | sort | uniq -d | grep -v -e ^kernel -e ^gpg-pubkey); do"
    " rpm -q $name | sort -V | head -n -1 | xargs rpm -e --nodeps --noscripts; done"
)
BOOT = "reboot | Reboot and wait for an answer"
BACK_ALONE = "GRUB has emptied `next_entry`, so the next boot is the old kernel; `panic=15` makes the panic a reboot"

FAULTS = (
    Fault("the kernel panics at once", ROLLED_BACK, BACK_ALONE, argument("init=/nowhere"), says="never reached the init system"),
    Fault("the kernel cannot mount its root file system", ROLLED_BACK,
          BACK_ALONE + "; the lab's kernel mounts it itself, and that it cannot is a panic. Where dracut's initramfs does, see below",
          argument("root=/dev/nowhere"), says="never reached the init system"),
    Fault("GRUB cannot load the kernel", ROLLED_BACK, "GRUB takes the `fallback` entry, which is the old kernel",
          f"truncate -s 300000 /boot/vmlinuz-{ML}", says="never reached the init system"),
    Fault("the initramfs is cut off", REFUSED, "it is unpacked before anything is written; nothing is booted",
          f"truncate -s -2000 /boot/initramfs-{ML}.img", says="is damaged", quick=True),
    Fault("the network does not come up on the new kernel", ROLLED_BACK, "the unit on the host reboots when nobody has logged in in time",
          only_without_trial("lab-net.service"), says="nobody logged in", quick=True),
    Fault("sshd does not start on the new kernel", ROLLED_BACK, "the same", only_without_trial("ssh.service"), says="nobody logged in"),
    Fault("MariaDB does not start on the new kernel", ROLLED_BACK, "the services are verified before the kernel is kept; the run reboots back",
          only_without_trial("mariadb.service"), says="mariadb"),
    Fault("Docker does not start on the new kernel", ROLLED_BACK, "the same",
          f"{only_without_trial('docker.service')}; {only_without_trial('docker.socket')}", says="docker"),
    Fault("the kernel hangs before systemd starts, without a panic", ROLLED_BACK,
          "**nothing on the host can act**: it waits for a reset by hand, by the hypervisor or by a watchdog of the BMC, which leads back",
          HANG, kill_at=BOOT, kill_after=60, reset=True, says="never reached the init system"),
    Fault("power cut after the one-shot is written, before the reboot", DONE,
          "the trial is what boots; the same command goes on with it, if it comes in time", kill_at=BOOT, power=True),
    Fault("power cut while grub2-mkconfig writes", DONE, "a new file takes the place of the old one in one step; the same command begins the stage anew",
          BY_NUMBER, kill_at="trial | Make sure that the running kernel is the default", kill_after=4, power=True),
    Fault("power cut in the middle of yum's transaction", PAUSED,
          "the same command goes on; where packages are installed twice by then, it first names them and how to finish the update",
          TELL, serial=HALFWAY, power=True, evening=True, cleans=CLEAN),
    Fault("power cut during the trial boot", ROLLED_BACK, "`next_entry` is empty by then: the old kernel boots", serial="trial boot of",
          kill_after=5, power=True, says="never reached the init system"),
    Fault("power cut between login and confirmation", ROLLED_BACK, "the default is still the old kernel", kill_at="stage | Keep it for good",
          power=True, says="ended without a word"),
    Fault("the controller is lost for good after the trial boot", ROLLED_BACK, "the unit on the host reboots when nobody has confirmed in time",
          kill_at="seen | Tell the host that somebody is there, if it counts", says="nobody logged in"),
    Fault("the controller is lost while the services are verified", ROLLED_BACK, "the same, by the second of its two limits",
          kill_at="stage | Keep it for good", services_timeout=150, says="never confirmed"),
    Fault("the clock jumps by a year during the trial", DONE, "the unit counts by /proc/uptime; the kernel is confirmed as usual", JUMP),
    Fault("the disk is full when the stage begins", REFUSED, "no module can run, and nothing is changed; it is said where to look",
          FULL, says="df -h"),
    Fault("the disk fills up when the trial is to be armed", REFUSED, "what was written for it is taken back; the end is told though it cannot be written",
          kill_at="trial | Boot the new kernel once", meanwhile=FULL, says="THE END OF THE RUN COULD NOT BE WRITTEN DOWN"),
    Fault("the environment block is damaged", DONE, "it is made anew before the trial is armed", f"printf damaged > {ENV}"),
    Fault("the environment block is full", REFUSED, "it is counted before anything is written", FILL, says="do not fit"),
    Fault("somebody installs a kernel that takes the default, before the reboot", DONE,
          "the running kernel is made the default again before the trial is armed", kill_at=BOOT, between=THIEF),
    Fault("somebody installs a kernel that takes the default, while the trial is armed", DONE, "the trial is armed anew before the reboot",
          kill_at="rearm | Look again", meanwhile=THIEF),
)  # fmt: skip
NAMES = (*(fault.name for fault in FAULTS), TWO_RUNS)
