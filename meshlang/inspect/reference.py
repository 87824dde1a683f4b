"""Parts of docs/repl.md: the commands, from their registry, and the causes of a hang, from the rules of `why`.

`python -m meshlang.inspect.reference FILE` brings a page up to date.
"""

from __future__ import annotations

import sys
from pathlib import Path

from meshlang import files

from . import registry, repl_commands  # noqa: F401  repl_commands registers the commands
from .why import RULES

BEGIN, END = "<!-- {0}: written by meshlang.inspect.reference -->", "<!-- end of {0} -->"


def command_reference() -> str:
    """All commands as Markdown, by group."""
    lines = []
    for group in registry.GROUPS:
        lines += [f"### {group}", ""]
        for c in registry.COMMANDS.values():
            if c.group != group:
                continue
            usage = f"{c.name} {c.usage}".strip()
            lines += [
                f"#### `{usage}`" + (f" (also {', '.join(f'`{a}`' for a in c.aliases)})" if c.aliases else ""),
                "",
                c.help,
                "",
            ]
            if c.examples:
                lines += ["```text", *c.examples, "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def cause_table() -> str:
    """What `why` can find, as a Markdown table."""
    return (
        "\n".join(
            [
                "| rule | cause | what to change |",
                "|---|---|---|",
                *(f"| {n} | {r.title} | {r.change} |" for n, r in RULES.items()),
            ]
        )
        + "\n"
    )


def updated(page: str) -> str:
    """A page with what is written by this module written anew."""
    for name, text in (("commands", command_reference()), ("causes", cause_table())):
        begin, end = BEGIN.format(name), END.format(name)
        head, rest = page.split(begin)
        page = f"{head}{begin}\n\n{text}\n{end}{rest.split(end)[1]}"
    return page


if __name__ == "__main__":
    for name in sys.argv[1:]:
        files.write_text(name, updated(Path(name).read_text(encoding="utf-8")))
