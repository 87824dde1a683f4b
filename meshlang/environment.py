"""The environment variables that MeshLang reads, each with what it does. docs/environment.md is written from here, and a
test finds every name that the sources read.

`python -m meshlang.environment FILE` writes the page.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from . import files


class Variable(NamedTuple):
    name: str
    values: str
    meaning: str


VARIABLES = (
    Variable(
        "MESHLANG_BACKGROUND",
        "0 or 1",
        "0: the first run waits until the engine is compiled; else it runs uncompiled meanwhile",
    ),
    Variable(
        "MESHLANG_CACHE_DIR",
        "folder",
        "where compiled engines, parse tables and compiled programs are kept; empty: nothing is kept",
    ),
    Variable("MESHLANG_DEBUG", "1", "the REPL shows the traceback of an internal error"),
    Variable("MESHLANG_KEEP_PROGRAMS", "0 or 1", "0: every program is compiled, and none is kept, as with --no-cache"),
    Variable("MESHLANG_MAX_CYCLES", "number", "where a run that SdkRuntime starts stops (MS0919)"),
    Variable(
        "MESHLANG_NO_F16C",
        "1",
        "compile the engine without the processor's conversions of 16-bit floats: same results, slower",
    ),
    Variable("MESHLANG_PROFILE", "name or file", "timing profile of runs that SdkRuntime starts"),
    Variable("MESHLANG_QUIET", "1", "no progress on a terminal or in a notebook"),
    Variable("MESHLANG_STRICT", "1", "accesses past a variable stop a run, as with --strict"),
    Variable(
        "MESHLANG_THREADS",
        "number",
        "threads that run the engine, as with --threads; 2 is the default from 65,536 PEs on",
    ),
    Variable("MESHLANG_TRACEBACK", "1", "the command line shows the traceback of an internal error"),
    Variable("MESHLANG_VERBOSE", "1", "SdkRuntime prints the cycles of a run also where stderr is no terminal"),
    Variable(
        "MESHLANG_WAFERLLM",
        "folder",
        "a checkout of WaferLLM, whose programs `meshlang paper waferllm` and tests run as they are",
    ),
    Variable("CSL_IMPORT_PATH", "folders, : between", "where imports are looked up, after --import-path"),
    Variable("FORCE_COLOR", "1", "colors also where the output is no terminal; NO_COLOR: none anywhere"),
    Variable("NUMBA_DISABLE_JIT", "1", "Numba's own: the engine runs as plain Python, to the same bits"),
    Variable(
        "SIMFABRIC_DEBUG",
        "names of events",
        "a run that SdkRuntime starts is recorded in sim.log and simfab_traces ([traces.md](traces.md))",
    ),
    Variable("XDG_CACHE_HOME", "folder", "where user caches are (default ~/.cache), without MESHLANG_CACHE_DIR"),
    Variable("XDG_STATE_HOME", "folder", "where the REPL's history is kept (default ~/.local/state)"),
)


# read by tests only
OF_TESTS = (
    Variable(
        "MESHLANG_CSL_EXAMPLES", "folder", "a checkout of the vendor's examples ([conformance.md](conformance.md))"
    ),
    Variable("MESHLANG_SDK_EXAMPLES", "folder", "a checkout of the vendor's older examples"),
    Variable("MESHLANG_WAFERLLM_LARGE", "1", "WaferLLM's programs at larger sizes, too"),
    Variable(
        "MESHLANG_SERVE_LARGE",
        "1",
        "two hundred requests at once, a thousand simulated wafers, a sweep of a hundred points",
    ),
    Variable("MESHLANG_SMOLLM", "folder", "what `meshlang llm fetch-demo` has written ([smollm.md](smollm.md))"),
    Variable("MESHLANG_LARGE", "1", "decoder layers on 32 x 32 and 64 x 64 PEs, all tables of docs/moe.md, too"),
    Variable(
        "MESHLANG_NODE_MODULES",
        "folder",
        "a `node_modules` folder with vscode-textmate, vscode-oniguruma and @vscode/vsce: the grammar in the engine of editors, the extension packed",
    ),
    Variable("MESHLANG_UPDATE_GOLDEN", "1", "write golden outputs anew"),
)


def _table(variables: tuple[Variable, ...]) -> list[str]:
    rows = [f"| `{v.name}` | {v.values} | {v.meaning} |" for v in variables]
    return ["| variable | value | what it does |", "|---|---|---|", *rows, ""]


def page() -> str:
    return "\n".join(
        [
            "# Environment variables",
            "",
            "Written from `meshlang/environment.py` by `python -m meshlang.environment docs/environment.md`.",
            "",
            *_table(VARIABLES),
            "## Read by tests",
            "",
            *_table(OF_TESTS),
        ]
    )


if __name__ == "__main__":
    files.write_text(sys.argv[1], page())
