"""Which of the things that can go wrong at run time stop a run, and which are warnings, with the reason: one row a code.

The rule: a *fault* is what makes results meaningless, or would hang or corrupt the machine. What the machine does
without a word, and with a meaning, is a *warning*: counted, once for each kind and place, and a fault with --strict.

`python -m meshlang.fabric.verdicts docs/language.md` writes the table there; a test sees that every code of a running
program has a row.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from meshlang import files

FAULT, WARNING = "fault", "warning"


@dataclass(frozen=True)
class Verdict:
    codes: tuple[str, ...]
    kind: str
    what: str
    why: str


VERDICTS = (
    Verdict(
        ("MS0407",),
        WARNING,
        "a DSD of another color than the queue it names (while compiling)",
        "one of the two has no effect: on WSE-3 the DSD's (D: 2.10 leaves it out), on WSE-2 that of an output queue (D)",
    ),
    Verdict(
        ("MS0411",),
        WARNING,
        "WSE-3: a data task on a queue that is not initialised (while compiling)",
        "it never runs, and harms nothing: roles that do not receive share the code",
    ),
    Verdict(
        ("MS0413",),
        WARNING,
        "WSE-2: a task id that is a received color (while compiling)",
        "it works as long as the two do not meet",
    ),
    Verdict(("MS0801",), FAULT, "code that does not exist", "a damaged program"),
    Verdict(
        ("MS0802", "MS0803", "MS0828"),
        FAULT,
        "a load, a store or a copy outside the memory of the PE",
        "there is nothing to read, and a write goes to registers or nowhere",
    ),
    Verdict(("MS0804", "MS0805"), FAULT, "division by zero, a shift by the width or more", "the result has no meaning"),
    Verdict(
        ("MS0806",),
        FAULT,
        "an index `a[i]` outside its array",
        "what is read has no meaning, and what is written corrupts other data; no published program was found to do it on purpose",
    ),
    Verdict(("MS0807", "MS0808"), FAULT, "a failed assertion, unreachable code", "the program says so"),
    Verdict(("MS0809",), FAULT, "a full call stack", "the machine's would grow into data"),
    Verdict(("MS0810",), FAULT, "a call through a pointer that is no function", "the machine would run data as code"),
    Verdict(
        ("MS0811", "MS0813"),
        FAULT,
        "a wavelet for a router inside the rectangle that has no route for its color, or none from that side",
        "undefined: it would block the link's color, or get lost on its way to a PE that waits",
    ),
    Verdict(
        ("MS0812",),
        WARNING,
        "a wavelet that leaves the rectangle",
        "nobody is there: it is lost, and the sender goes on. Published programs do it at the end of a line",
    ),
    Verdict(
        ("MS0814",),
        FAULT,
        "wavelets of a color from two sides at once",
        "undefined (D): their order, or one of them, is lost",
    ),
    Verdict(
        ("MS0815",),
        WARNING,
        "`unblock_cmd_stream` with no command outstanding",
        "the stream is not blocked: nothing happens. Published programs do it",
    ),
    Verdict(
        ("MS0816", "MS0817", "MS0829"),
        FAULT,
        "a microthread, a queue or a DSR that another operation is using",
        "the two would mix (D: the program's duty)",
    ),
    Verdict(
        ("MS0818", "MS0823", "MS0825", "MS0835"),
        FAULT,
        "an operand that the operation cannot walk",
        "there is no meaning to choose",
    ),
    Verdict(
        ("MS0819", "MS0820", "MS0832"),
        FAULT,
        "a vector outside the memory of the PE, at no variable, or without end over a vector that has one",
        "it reads nothing, and overwrites everything",
    ),
    Verdict(
        ("MS0821", "MS0822", "MS0826"),
        FAULT,
        "a fabric operation whose queue, route or microthread was never set up",
        "it would wait for ever",
    ),
    Verdict(("MS0824",), FAULT, "an asynchronous operation in memory", "the machine has none (D)"),
    Verdict(
        ("MS0827",),
        FAULT,
        "`@activate` of an id without a task",
        "the machine would start what stands in its task table",
    ),
    Verdict(
        ("MS0830",),
        WARNING,
        "a control wavelet for an id without a task",
        "it is consumed. Programs send such wavelets to move switches on the way",
    ),
    Verdict(("MS0831", "MS0857"), FAULT, "a register that MeshLang does not model", "the effect is not known here"),
    Verdict(
        ("MS0833", "MS0834"),
        FAULT,
        "another color for a queue that is not empty, or for what a color swap gives away",
        "wavelets of one color would be taken for those of the other",
    ),
    Verdict(
        ("MS0851",),
        WARNING,
        "operands of different lengths",
        "the first source's length decides (E); published programs rely on it",
    ),
    Verdict(
        ("MS0852", "MS0853"),
        WARNING,
        "a vector that leaves its array, within the memory of the PE",
        "the machine does not check. Two published programs do it",
    ),
    Verdict(
        ("MS0854", "MS0855"),
        WARNING,
        "wavelets that nobody has taken at the end of a run",
        "the program has got what it asked for",
    ),
    Verdict(("MS0856", "MS0860"), FAULT, "nothing can happen any more, and the host waits", "the machine hangs"),
    Verdict(("MS0858", "MS0859"), FAULT, "a FIFO's `fault`, an exception that is unmasked", "the program asks for it"),
    Verdict(
        ("MS0870",),
        WARNING,
        "a copy of the host past the end of its array, where it harms no other variable",
        "the vendor's tools let it pass. A published program does it",
    ),
    Verdict(
        ("MS0871",),
        WARNING,
        "an operation of another width than its DSD",
        "it walks in its own steps (E). A published FFT does it",
    ),
    Verdict(
        ("MS0872",),
        WARNING,
        "an array of the host that is longer than the copy",
        "the first elements are taken; one that is too short is an error (MS0911)",
    ),
)


def table() -> str:
    """All rows as a Markdown table."""
    rows = [f"| {', '.join(v.codes)} | {v.kind} | {v.what} | {v.why} |" for v in VERDICTS]
    return "\n".join(["| code | | what | why |", "|---|---|---|---|", *rows]) + "\n"


BEGIN, END = "<!-- written by meshlang.fabric.verdicts -->", "<!-- end of the verdicts -->"


def updated(page: str) -> str:
    """A page with the table written anew."""
    head, rest = page.split(BEGIN)
    return f"{head}{BEGIN}\n\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    files.write_text(path, updated(path.read_text(encoding="utf-8")))
