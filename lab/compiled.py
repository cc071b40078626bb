# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's own module_utils, compiled, for the guest's Python 2.7.

A task brings them along as source, and to compile them takes an emulated guest half of the task.  Nothing else is taken from
here: the modules and what this collection shares among them are compiled anew by each task, as on any host.  For tests that run
many tasks and compare no seconds.
"""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lab import python27, venv
from lab.progress import output

if TYPE_CHECKING:
    from lab.vm import Vm

_PLACE = "/usr/local/lib/el7ops-lab"
_PACKAGES = "/usr/local/lib/python2.7/dist-packages"
_COMPILE = """
import os, py_compile, sys
for folder, names, files in os.walk(sys.argv[1]):
    for name in files:
        if name.endswith(".py"):
            target = os.path.join(sys.argv[2], os.path.relpath(folder, os.path.dirname(os.path.dirname(sys.argv[1]))), name + "c")
            if not os.path.isdir(os.path.dirname(target)):
                os.makedirs(os.path.dirname(target))
            py_compile.compile(os.path.join(folder, name), target, doraise=True)
"""
_FINDER = f"""
import imp, os, sys

class Compiled(object):
    def place(self, name):
        path = os.path.join("{_PLACE}", *name.split("."))
        return path, os.path.exists(os.path.join(path, "__init__.pyc"))

    def find_module(self, name, path=None):
        if (name + ".").startswith("ansible.module_utils."):
            path, package = self.place(name)
            return self if package or os.path.exists(path + ".pyc") else None

    def load_module(self, name):
        if name not in sys.modules:
            path, package = self.place(name)
            if package:
                imp.load_module(name, None, path, ("", "", imp.PKG_DIRECTORY))
            else:
                with open(path + ".pyc", "rb") as stream:
                    imp.load_module(name, stream, path + ".pyc", (".pyc", "rb", imp.PY_COMPILED))
        return sys.modules[name]

sys.meta_path.append(Compiled())
"""


def install(vm: Vm) -> None:
    """Have the guest's Python 2.7 take them from its disk."""
    (source,) = venv.ensure().parent.glob("lib/python3*/site-packages/ansible/module_utils")
    with tempfile.TemporaryDirectory() as folder:
        tree, packed = Path(folder, "tree"), Path(folder, "packed")
        tree.mkdir()
        output([str(python27.ensure()), "-c", _COMPILE, str(source), str(tree)])
        (tree / "el7ops_lab.py").write_text(_FINDER)
        (tree / "el7ops_lab.pth").write_text("import el7ops_lab\n")
        output(["tar", "-C", str(tree), "-czf", str(packed), "."])
        script = f"mkdir -p {_PLACE} {_PACKAGES} && base64 -d | tar -xz -C {_PLACE} && mv {_PLACE}/el7ops_lab.* {_PACKAGES}"
        vm.run(script, stdin=base64.b64encode(packed.read_bytes()).decode())
