# SPDX-License-Identifier: GPL-3.0-or-later
"""The module_utils of Ansible and of this collection, compiled, for the guest's two Pythons.

A task brings them along as source, and to compile them takes an emulated guest half of the task.  The modules themselves are
compiled anew by each task, as on any host.  For tests that run many tasks and compare no seconds.
"""

from __future__ import annotations

import base64
import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from lab import cache, venv

if TYPE_CHECKING:
    from lab.vm import Vm

_PLACE = "/usr/local/lib/el7ops-lab"
_OWN = "ansible_collections.el7ops.kmem.plugins.module_utils"
# both Pythons read it; each finds its own below _PLACE
_FINDER = f"""
import os, sys

class Compiled(object):
    def place(self, name):
        path = os.path.join("{_PLACE}", str(sys.version_info[0]), *name.split("."))
        init = os.path.join(path, "__init__.pyc")
        return (init, [path]) if os.path.exists(init) else (path + ".pyc", None)

    def has(self, name):
        return (name + ".").startswith(("ansible.module_utils.", "{_OWN}.")) and os.path.exists(self.place(name)[0])

    def find_spec(self, name, path=None, target=None):
        if self.has(name):
            from importlib import machinery, util
            file, folders = self.place(name)
            loader = machinery.SourcelessFileLoader(name, file)
            return util.spec_from_file_location(name, file, loader=loader, submodule_search_locations=folders)

    def find_module(self, name, path=None):
        return self if self.has(name) else None

    def load_module(self, name):
        if name not in sys.modules:
            import imp
            file, folders = self.place(name)
            if folders:
                imp.load_module(name, None, folders[0], ("", "", imp.PKG_DIRECTORY))
            else:
                with open(file, "rb") as stream:
                    imp.load_module(name, stream, file, (".pyc", "rb", imp.PY_COMPILED))
        return sys.modules[name]

sys.meta_path.insert(0, Compiled())
"""
_INSTALL = f"""
set -e
mkdir -p {_PLACE}/2
base64 -d | tar -xz -C {_PLACE}/2
cp -a {_PLACE}/2 {_PLACE}/3
python2.7 -m compileall -q {_PLACE}/2
python3 -m compileall -q -b {_PLACE}/3
find {_PLACE} -name '*.py' -delete
for packages in /usr/local/lib/python2.7/dist-packages /usr/lib/python3/dist-packages; do
    mkdir -p $packages
    printf '%s\\n' '{_FINDER}' > $packages/el7ops_lab.py
    echo 'import el7ops_lab' > $packages/el7ops_lab.pth
done
# they compile it now: some tests look for each file that a task has left
python2.7 -c ''
python3 -c ''
"""


def install(vm: Vm) -> None:
    """Have the guest's Pythons take them from its disk."""
    (source,) = venv.ensure().parent.glob("lib/python3*/site-packages/ansible/module_utils")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for folder, name in ((source, "ansible.module_utils"), (cache.LAB_DIR.parent / "plugins" / "module_utils", _OWN)):
            for path in folder.rglob("*.py"):
                archive.add(path, Path(name.replace(".", "/"), path.relative_to(folder)))
    vm.run(_INSTALL, stdin=base64.b64encode(packed.getvalue()).decode())
