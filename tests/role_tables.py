# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of variables in the roles' READMEs, made from meta/argument_specs.yml.

Usage: tests/role_tables.py [--write]. Between "<!-- variables of ENTRY -->" and "<!-- end -->" stands the table of that entry point.
Without --write it only says which READMEs differ. tests/controller/test_docs.py runs it.
"""

from __future__ import annotations

import json
import pathlib
import re
import sys

import yaml

REPO = pathlib.Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(<!-- variables of (\w+) -->\n)(.*?)(<!-- end -->)", re.S)
LONG = 60


def markup(text: str) -> str:
    """Ansible's C(), and what would break a table's row, as Markdown."""
    return re.sub(r"C\(([^)]*)\)", r"`\1`", text).replace("|", "\\|").strip()


def default(option: dict) -> str:
    if option.get("required"):
        return "required"
    if "default" not in option:
        return ""
    value = option["default"]
    shown = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return f"`{shown}`" if len(shown) <= LONG else "see `defaults/main.yml`"


def meaning(option: dict) -> str:
    told = option["description"]
    text = markup(" ".join(told) if isinstance(told, list) else told)
    left = [str(choice) for choice in option.get("choices", []) if f"`{choice}`" not in text]
    if left:
        text += f" One of {', '.join('`' + str(choice) + '`' for choice in option['choices'])}."
    for name, part in option.get("options", {}).items():
        text += f" `{name}`: {meaning(part)}"
    return text


def table(entry: dict) -> str:
    rows = [f"| `{name}` | {default(option)} | {meaning(option)} |" for name, option in entry["options"].items()]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows]) + "\n"


def filled(role: pathlib.Path) -> tuple[str, str, list[str]]:
    """(README as it is, as it should be, entry points that have a table in it)."""
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    text = (role / "README.md").read_text(encoding="utf-8")
    return text, BLOCK.sub(lambda found: found[1] + table(specs[found[2]]) + found[4], text), [found[1] for found in BLOCK.findall(text)]


def main(write: bool) -> int:
    stale = []
    for role in sorted((REPO / "roles").iterdir()):
        text, wanted, _entries = filled(role)
        if text != wanted:
            stale.append(role.name)
            if write:
                (role / "README.md").write_text(wanted, encoding="utf-8")
    print(f"{'written' if write else 'not as the argument specs say'}: {', '.join(stale) or 'none'}")
    return 1 if stale and not write else 0


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv[1:]))
