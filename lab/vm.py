# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual machine of the lab: a throw-away overlay on the base image, reached over SSH.

Everything of one machine is in ``<cache>/vm/<name>/``: overlay, pid file, monitor socket,
serial log, state.  The base itself is never booted.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from lab import cache, image, qemu, rpms
from lab.progress import LabError, output, say

HOST = "127.0.0.1"
BOOT_SECONDS = 240
STOP_SECONDS = 60
MONITOR_SECONDS = 180
# what of the guest can be reached from here: name, and port in the guest
SERVICES = {"ssh": 22, "mariadb": 3306, "gitlab": 80}
# yum is dnf 4 in the lab, which needs Python 3 on the target
_PYTHON3_ROLES = ["el7ops.kmem.yum_update", "el7ops.kmem.elrepo_kernel"]
_LAB_APPEND = "/etc/default/grub.d/zz-lab-append.cfg"


def names() -> list[str]:
    """Return the names of all machines that have a state directory."""
    return sorted(path.name for path in (cache.root() / "vm").glob("*") if path.is_dir())


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _number in range(count)]
        for probe in probes:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in probes]


class Vm:
    """One machine; the object holds no state that is not on the disk."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.directory = cache.root() / "vm" / name
        self.serial_log = self.directory / "serial.log"
        self.overlay = self.directory / "overlay.qcow2"
        self.second_disk = self.directory / "second.qcow2"
        self.mirror = self.directory / "mirror"

    # -- state -----------------------------------------------------------------

    @property
    def _state(self) -> dict[str, str | int]:
        file = self.directory / "state.json"
        return json.loads(file.read_text()) if file.exists() else {}

    def _note(self, **values: str | int) -> None:
        (self.directory / "state.json").write_text(json.dumps({**self._state, **values}))

    def port_of(self, service: str) -> int:
        """Return the port on the loopback address that leads to one of SERVICES in the guest."""
        if service not in self._state:
            raise LabError(f"{self.name} was never started; type: python3 -m lab start {self.name}")
        return int(self._state[service])

    @property
    def port(self) -> int:
        """The port on the loopback address that leads to the guest's SSH."""
        return self.port_of("ssh")

    @property
    def pid(self) -> int | None:
        """The process id of this machine's QEMU, None if it does not run."""
        file = self.directory / "pid"
        with contextlib.suppress(OSError, ValueError):
            pid = int(file.read_text())
            # a pid may be another process by now
            if str(self.directory).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return None

    # -- life ------------------------------------------------------------------

    def start(
        self, append: str = "", fresh: bool = True, accel: str | None = None, second_disk_mib: int = 0
    ) -> float:
        """Boot and wait for SSH; return the seconds that the (first) boot took.

        A fresh machine gets a new overlay; otherwise it boots as it was left.  APPEND goes into
        the guest's GRUB configuration, which takes a second boot.  A second disk is empty, and
        /dev/vdb in the guest; it stays until the machine is destroyed.
        """
        base = image.ensure()
        if self.pid and not fresh:
            say(f"{self.name} runs already")
        else:
            if fresh:
                self.destroy()
            if not self.overlay.exists():
                self.directory.mkdir(parents=True, exist_ok=True)
                output(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(base), str(self.overlay)])
            if second_disk_mib and not self.second_disk.exists():
                output(["qemu-img", "create", "-q", "-f", "qcow2", str(self.second_disk), f"{second_disk_mib}M"])
            self.boot(self.overlay, accel)
        took = self.wait_ssh()
        say(f"{self.name}: SSH after {took:.1f} s")
        if append and append != self._state.get("append"):
            self._append(append)
        return took

    def boot(self, disk: Path, accel: str | None = None, extra: Sequence[str] = ()) -> None:
        """Start QEMU on DISK; for start() and for provisioning the base image."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if not self.mirror.exists():
            self.fill_mirror()
        ports = dict(zip(SERVICES, _free_ports(len(SERVICES)), strict=True))
        self._note(**ports)
        forwards = {SERVICES[name]: port for name, port in ports.items()}
        disks = [disk, self.second_disk] if self.second_disk.exists() else [disk]
        qemu.start(self.directory, disks, forwards, self.mirror, accel or qemu.accel(image.el7_kernel()), list(extra))

    def fill_mirror(self) -> None:
        """Put back what the guest sees under http://mirror.lab/; it is a copy, a test may do to it what it wants."""
        shutil.rmtree(self.mirror, ignore_errors=True)
        shutil.copytree(image.repositories(), self.mirror)

    def _append(self, append: str) -> None:
        say(f"{self.name}: kernel arguments {append!r}, second boot")
        line = f'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT {append}"'
        self.run(f"echo {shlex.quote(line)} > {_LAB_APPEND} && grub2-mkconfig -o /boot/grub2/grub.cfg && sync")
        self._note(append=append)
        self.reboot()

    def reboot(self, timeout: float = BOOT_SECONDS) -> float:
        """Reboot the guest and wait until another boot answers over SSH; return the seconds."""
        began = time.monotonic()
        before = self._boot_id()
        self.run("systemctl reboot", check=False, timeout=30)
        while time.monotonic() - began < timeout:
            time.sleep(1)
            with contextlib.suppress(LabError, subprocess.TimeoutExpired):
                self.wait_ssh(timeout - (time.monotonic() - began))
                if self._boot_id() != before:
                    return time.monotonic() - began
        raise LabError(f"{self.name} did not come back after {timeout:.0f} s; see {self.serial_log}")

    def _boot_id(self) -> str:
        return self.run("cat /proc/sys/kernel/random/boot_id").stdout.strip()

    def wait_ssh(self, timeout: float = BOOT_SECONDS) -> float:
        """Wait until a command runs over SSH; return the seconds."""
        began = time.monotonic()
        self._hang_up("master-of-lab-*")
        while (spent := time.monotonic() - began) < timeout:
            if self.pid is None:
                raise LabError(f"{self.name}: QEMU has ended; see {self.serial_log}")
            with contextlib.suppress(subprocess.TimeoutExpired):
                if self._banner() and self.run("true", check=False, timeout=20).returncode == 0:
                    return time.monotonic() - began
            time.sleep(0.2)
        tail = "\n".join(self.serial_log.read_text(errors="replace").splitlines()[-20:])
        raise LabError(f"{tail}\n{self.name}: no SSH after {spent:.0f} s; the serial log is {self.serial_log}")

    def _banner(self) -> bool:
        """Tell whether something answers like an SSH server; much cheaper than a client per try."""
        try:
            with socket.create_connection((HOST, self.port), timeout=2) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def stop(self) -> None:
        """Shut the guest down; if it does not, end QEMU."""
        if self.pid is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.run("systemctl poweroff", check=False, timeout=30)
        deadline = time.monotonic() + STOP_SECONDS
        while self.pid is not None:
            if time.monotonic() > deadline:
                say(f"{self.name} did not shut down in {STOP_SECONDS} s")
                self.kill()
                return
            time.sleep(0.2)

    def kill(self) -> None:
        """Cut the power."""
        if (pid := self.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                descriptor = os.pidfd_open(pid)
                try:
                    os.kill(pid, signal.SIGKILL)
                    # all of its threads: as long as one is there, it holds the disk and the pid file
                    select.select([descriptor], [], [])
                finally:
                    os.close(descriptor)

    def destroy(self) -> None:
        """Cut the power and remove everything of this machine."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    # -- use -------------------------------------------------------------------

    def ssh_options(self) -> list[str]:
        """Return the options with which ssh reaches this machine.

        All that use them share one connection: a new one takes an emulated guest 0.7 s of its processor.
        """
        return [
            "-i", str(image.private_key()), "-p", str(self.port), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
            "-o", "ConnectTimeout=15", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
            "-o", f"ControlPath={self.directory}/master-of-lab-%r", "-o", "ControlMaster=auto", "-o", "ControlPersist=120",
            "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3",
        ]  # fmt: skip

    def ssh_argv(self, user: str = "root") -> list[str]:
        """Return the ssh command line that logs in."""
        return ["ssh", *self.ssh_options(), f"{user}@{HOST}"]

    def run(
        self,
        command: str | Sequence[str],
        check: bool = True,
        timeout: float = 120,
        user: str = "root",
        stdin: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run COMMAND in the guest; a string goes to the guest's shell as it is."""
        remote = command if isinstance(command, str) else shlex.join(command)
        argv = [*self.ssh_argv(user), remote]
        feed = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=timeout, **feed)
        if check and done.returncode != 0:
            raise LabError(f"{self.name}: {remote!r} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def snapshot(self, tag: str) -> None:
        """Save memory and disk under TAG; the machine stands still meanwhile."""
        qemu.monitor(self.directory, f"savevm {tag}", MONITOR_SECONDS)

    def restore(self, tag: str) -> None:
        """Go back to the memory and disk saved under TAG."""
        self._hang_up()
        qemu.monitor(self.directory, f"loadvm {tag}", MONITOR_SECONDS)

    def put_by(self, folder: Path) -> None:
        """Copy the machine with all its snapshots into a new FOLDER, for run_on(); it stands still meanwhile."""
        folder.mkdir()
        qemu.monitor(self.directory, "stop", MONITOR_SECONDS)
        try:
            output(["cp", "--sparse=always", str(self.overlay), str(folder / self.overlay.name)])
        finally:
            qemu.monitor(self.directory, "cont", MONITOR_SECONDS)
        shutil.copytree(self.mirror, folder / self.mirror.name)

    def run_on(self, folder: Path, tag: str) -> None:
        """Become what was put by in FOLDER, where it was at its snapshot TAG."""
        self.destroy()
        shutil.copytree(folder / self.mirror.name, self.directory / self.mirror.name)
        output(["cp", "--sparse=always", str(folder / self.overlay.name), str(self.overlay)])
        self.boot(self.overlay, extra=["-loadvm", tag])
        self.wait_ssh()

    def _hang_up(self, which: str = "master-*") -> None:
        """End the connections that Ansible and ssh_options() keep open: a guest that was put back or rebooted knows nothing of them."""
        for path in self.directory.glob(which):
            argv = ["ssh", "-o", f"ControlPath={path}", "-O", "exit", HOST]
            subprocess.run(argv, check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=30)
            path.unlink(missing_ok=True)

    def inventory_vars(self) -> dict[str, object]:
        """Return the variables with which Ansible reaches this machine and its mirror."""
        return {
            "ansible_host": HOST,
            "ansible_port": self.port,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(image.private_key()),
            # %r is the remote user; the doubled sign is for Ansible
            "ansible_control_path": f"{self.directory}/master-%%r",
            "ansible_ssh_common_args": "-o IdentitiesOnly=yes -o StrictHostKeyChecking=no"
            " -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
            "ansible_python_interpreter": "{{ '/usr/bin/python3' if ansible_role_name | default('') in "
            f"{_PYTHON3_ROLES} else '/usr/bin/python2.7' }}}}",
            "yum_update_yum_backend": "dnf4",
            "elrepo_kernel_yum_backend": "dnf4",
            "elrepo_kernel_baseurls": ["http://mirror.lab/elrepo-kernel/"],
            "elrepo_kernel_archives": [],  # no test may reach out of the lab
            "elrepo_kernel_keys": [
                {"name": "lab", "file": str(rpms.public_key("elrepo")), "fingerprint": rpms.fingerprint("elrepo")}
            ],
        }
