# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the lab."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence

from lab import __doc__ as stand_in
from lab import containers, demo, image, molecule, python27
from lab.progress import LabError, say
from lab.vm import Vm, names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m lab", description=stand_in, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build whatever is missing of kernels, userland and base image")
    commands.add_parser("python27", help="print the path of a CPython 2.7, brought first where it is missing")
    commands.add_parser("status", help="list the machines")
    shown = commands.add_parser("molecule", help="run Molecule scenarios on systemd containers, with an engine of the lab's own")
    shown.add_argument("scenario", nargs="*", help="which ones (all)")
    shown.add_argument("--engine", choices=containers.ENGINES, default=containers.usable()[0])
    shown.add_argument("--action", default="test", help="what Molecule does (test)")
    shown = commands.add_parser("demo", help="run the main job: a host that fails is diagnosed, cured and proved cured")
    shown.add_argument("--keep", action="store_true", help="leave the machine running at the end, for a look around")
    for name, text in (
        ("start", "boot a machine and wait for SSH"),
        ("stop", "shut a machine down"),
        ("ssh", "log in as root, or run a command"),
        ("inventory", "print an Ansible inventory"),
        ("console", "print the path of the serial log"),
        ("destroy", "cut the power and remove the machine"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("name")
        if name == "start":
            command.add_argument("--append", default="", metavar="ARGUMENTS", help="more kernel arguments")
            command.add_argument("--fresh", action="store_true", help="forget what the machine had on its disk")
        if name == "ssh":
            command.add_argument("words", nargs="*", metavar="-- COMMAND")
    return parser


def _inventory(machine: Vm) -> str:
    lines = ["---", "all:", "  hosts:", f"    {machine.name}:"]
    # JSON is YAML
    lines += [f"      {name}: {json.dumps(value)}" for name, value in machine.inventory_vars().items()]
    return "\n".join(lines)


def _status() -> None:
    for name in names():
        machine = Vm(name)
        state = f"runs, pid {machine.pid}, port {machine.port}" if machine.pid else "off"
        print(f"{name}: {state}")


def _on_machine(asked: argparse.Namespace) -> int:
    machine = Vm(asked.name)
    if asked.command == "start":
        machine.start(append=asked.append, fresh=asked.fresh)
    elif asked.command == "stop":
        machine.stop()
    elif asked.command == "ssh":
        return subprocess.run([*machine.ssh_argv(), *asked.words], check=False).returncode
    elif asked.command == "inventory":
        print(_inventory(machine))
    elif asked.command == "console":
        print(machine.serial_log)
    elif asked.command == "destroy":
        machine.destroy()
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    asked = _parser().parse_args(argv)
    try:
        if asked.command == "build":
            say(f"the base image is {image.ensure()}")
        elif asked.command == "python27":
            print(python27.ensure())
        elif asked.command == "status":
            _status()
        elif asked.command == "molecule":
            return int(any(molecule.run(asked.scenario, asked.engine, asked.action).values()))
        elif asked.command == "demo":
            demo.run(keep=asked.keep)
        else:
            return _on_machine(asked)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0
