# SPDX-License-Identifier: GPL-3.0-or-later
"""QEMU: its command line, whether KVM really works here, and its monitor."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from lab import cache
from lab.progress import LabError, output, say

SMP = 2
MEMORY_MIB = 1536
KVM_PROBE_SECONDS = 10
MIRROR_ADDRESS = "10.0.2.100:80"  # mirror.lab in the guest's /etc/hosts

_ACCEL = {
    "kvm": ["-accel", "kvm", "-cpu", "host"],
    # emulated, the wide registers of "max" cost more than they save: Python and rpm were 5 to 10 % faster without (QEMU 7.2)
    "tcg": ["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "qemu64"],
}
_PROMPT = b"(qemu) "


def accel(kernel_image: Path) -> str:
    """Return ``kvm`` where a kernel really boots with it, else ``tcg``; asked once per boot of the machine.

    /dev/kvm may exist and hang, so only a boot under a time limit tells.
    """
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    note = cache.root() / "accel.json"
    known = json.loads(note.read_text()) if note.exists() else {}
    if known.get("boot") != boot:
        known = {"boot": boot, "accel": "kvm" if _kvm_boots(kernel_image) else "tcg"}
        note.write_text(json.dumps(known))
        say(f"this machine runs the lab with {known['accel']}")
    return str(known["accel"])


def _kvm_boots(kernel_image: Path) -> bool:
    if not Path("/dev/kvm").exists():
        return False
    say(f"trying KVM for at most {KVM_PROBE_SECONDS} s")
    # without a disk the kernel panics as soon as it looks for its root, and -no-reboot ends QEMU
    argv = [
        "qemu-system-x86_64", "-machine", "pc", *_ACCEL["kvm"], "-m", "256", "-nodefaults", "-display", "none",
        "-no-reboot", "-serial", "stdio", "-kernel", str(kernel_image), "-append", "console=ttyS0 panic=-1",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            argv, check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=KVM_PROBE_SECONDS
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and b"Linux version" in done.stdout


def start(
    directory: Path, disks: list[Path], ports: Mapping[int, int], mirror: Path, accelerator: str, extra: list[str]
) -> None:
    """Start QEMU in the background; it leaves pid, monitor and serial.log in DIRECTORY.

    PORTS: port of the guest to the port of the loopback address that leads there. MIRROR is what the
    guest sees at MIRROR_ADDRESS.
    """
    forwards = "".join(f",hostfwd=tcp:127.0.0.1:{port}-:{guest_port}" for guest_port, port in ports.items())
    httpd = shlex.join([sys.executable, "-IS", str(cache.LAB_DIR / "httpd.py"), str(mirror)])
    drives = [f"file={_escaped(str(disk))},if=virtio,format=qcow2,cache=unsafe,discard=unmap" for disk in disks]
    output(
        ["qemu-system-x86_64", "-name", directory.name, "-machine", "pc,usb=off", *_ACCEL[accelerator],
         "-smp", str(SMP), "-m", str(MEMORY_MIB), *(word for drive in drives for word in ("-drive", drive)),
         "-netdev", f"user,id=n0{forwards},guestfwd=tcp:{MIRROR_ADDRESS}-cmd:{_escaped(httpd)}",
         "-device", "virtio-net-pci,netdev=n0,romfile=",
         "-device", "virtio-rng-pci", "-display", "none", "-vga", "none",
         "-chardev", f"file,id=serial,path={directory / 'serial.log'},append=on", "-serial", "chardev:serial",
         "-monitor", f"unix:{directory / 'monitor'},server,nowait", "-pidfile", str(directory / "pid"),
         "-daemonize", *extra]
    )  # fmt: skip


def _escaped(text: str) -> str:
    """Return TEXT as QEMU wants it inside of an option: a comma ends one."""
    return text.replace(",", ",,")


def monitor(directory: Path, command: str, timeout: float) -> str:
    """Send COMMAND to the monitor and return what it prints."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(str(directory / "monitor"))
        _until_prompt(connection)
        connection.sendall(command.encode() + b"\n")
        answer = _until_prompt(connection).decode(errors="replace")
    lines = [line for line in answer.replace("\r", "").split("\n")[1:] if line.strip()]
    if any(line.startswith("Error") for line in lines):
        raise LabError(f"QEMU's monitor refused {command!r}: {' '.join(lines)}")
    return "\n".join(lines)


def _until_prompt(connection: socket.socket) -> bytes:
    received = b""
    while not received.endswith(_PROMPT):
        chunk = connection.recv(65536)
        if not chunk:
            raise LabError("QEMU ended while its monitor was in use")
        received += chunk
    return received[: -len(_PROMPT)]
