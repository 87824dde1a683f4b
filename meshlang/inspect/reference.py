"""The command reference of docs/repl.md, written from the registry. `python -m meshlang.inspect.reference FILE` brings a page up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from . import registry

BEGIN, END = "<!-- commands: written by meshlang.inspect.reference -->", "<!-- end of commands -->"


def command_reference() -> str:
    """All commands as Markdown, by group."""
    registry.load_all()
    lines = []
    for group in registry.GROUPS:
        lines += [f"### {group}", ""]
        for c in registry.COMMANDS.values():
            if c.group != group:
                continue
            usage = f"{c.name} {c.usage}".strip()
            lines += [f"#### `{usage}`" + (f" (also {', '.join(f'`{a}`' for a in c.aliases)})" if c.aliases else ""), "", c.help, ""]
            if c.examples:
                lines += ["```text", *c.examples, "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def updated(page: str) -> str:
    """A page with its reference written anew."""
    head, rest = page.split(BEGIN)
    return f"{head}{BEGIN}\n\n{command_reference()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        Path(name).write_text(updated(Path(name).read_text(encoding="utf-8")), encoding="utf-8")
