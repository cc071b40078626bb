# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How RPM orders versions, and what its answers look like: pure functions, controller side."""

from __future__ import annotations

import functools
import re

# packages of which several versions stand beside each other by design
SIDE_BY_SIDE = re.compile(r"^(kernel(-(ml|lt|debug|plus|rt|devel|ml-devel|lt-devel|debug-devel))?|gpg-pubkey|kmod-.+|.+-kmod)$")


def compare_strings(left, right):
    """-1, 0 or 1: rpmvercmp of rpm 4.15, with ~ (before anything) and ^ (after its base, before more of it)."""
    if left == right:
        return 0
    while left or right:
        left = re.sub(r"^[^A-Za-z0-9~^]+", "", left)
        right = re.sub(r"^[^A-Za-z0-9~^]+", "", right)
        if left[:1] == "~" or right[:1] == "~":
            if left[:1] != right[:1]:
                return -1 if left[:1] == "~" else 1
            left, right = left[1:], right[1:]
            continue
        if left[:1] == "^" or right[:1] == "^":
            if left[:1] == right[:1]:
                left, right = left[1:], right[1:]
                continue
            if not left or not right:
                return -1 if not left else 1
            return -1 if left[:1] == "^" else 1
        if not left or not right:
            break
        kind = r"^\d+" if left[0].isdigit() else r"^[A-Za-z]+"
        one, two = re.match(kind, left).group(), re.match(kind, right)
        if two is None:
            # a number is newer than letters
            return 1 if left[0].isdigit() else -1
        two = two.group()
        left, right = left[len(one) :], right[len(two) :]
        if one[0].isdigit():
            one, two = int(one), int(two)
        if one != two:
            return 1 if one > two else -1
    return bool(left) - bool(right)


def evr(package):
    """(epoch, version, release) as strings; rpm and the modules spell a missing epoch in three ways."""
    epoch = package.get("epoch")
    return ("0" if epoch in (None, "", "(none)", "None") else str(epoch), package["version"], package["release"])


def compare(one, two):
    """-1, 0 or 1 for two packages: epoch, then version, then release."""
    for left, right in zip(evr(one), evr(two)):
        result = compare_strings(left, right)
        if result:
            return result
    return 0


order = functools.cmp_to_key(compare)


def evr_text(package):
    """[epoch:]version-release."""
    epoch, version, release = evr(package)
    return ("" if epoch == "0" else epoch + ":") + version + "-" + release


def parse(lines):
    """Packages of lines name|epoch|version|release|arch|installed at; further fields become C(rest)."""
    packages = []
    for line in lines:
        fields = line.split("|")
        if len(fields) < 6:
            raise ValueError(f"rpm answered a line that was not asked for: {line!r}")
        package = dict(zip(("name", "epoch", "version", "release", "arch"), fields))
        package["installed_at"] = int(fields[5]) if fields[5].isdigit() else 0
        packages.append(dict(package, rest=fields[6:]))
    return packages
