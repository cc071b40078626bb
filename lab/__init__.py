# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab: builds and drives an EL7-like virtual machine.

Nothing in here is CentOS.  The userland is Debian 11 dressed as CentOS 7.8, the kernels are
Debian's linux-source-5.10 under EL7's version strings with a patch that imitates the
kernel-memory leak of EL7's 3.10, the packages and their keys are the lab's own, ``yum`` is
dnf 4, GitLab is a small stand-in, and ``grubby``, ``new-kernel-pkg`` and ``dracut`` are
shims.  ``lab/README.md`` lists every stand-in and what it does not model.

The package needs only the standard library of Python 3.10 or newer: it runs before any
virtual environment exists.  ``plugins/`` and ``roles/`` know nothing of it.
"""
