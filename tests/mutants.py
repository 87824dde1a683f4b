"""Mutants: small changes of meaning in meshlang's sources, each of which some test should notice.

    python -m tests.mutants --count 200 --seed 1 --out mutants.jsonl
    python -m tests.mutants --file meshlang/fabric/engine/router.py --count 30 --out router.jsonl
    python -m tests.mutants --report mutants.jsonl

It is no test and not part of pytest: it takes about half a minute a mutant. Work is done in a copy of the tree. A mutant changes one
place of one file, and the tests that concern the file (CONCERN) run on it until one fails. Mutants are drawn evenly over the
rooms of meshlang. What is in the file of --out is not done again, so a run can be stopped and taken up.

With --lines, only tests that execute the changed line run, the quick ones first, which is several times faster. Python 3.12 or later writes
down once which tests those are (tests/support/lines_of_tests.py):

    pytest -n 2 -p tests.support.lines_of_tests --lines-of-tests lines. tests
    NUMBA_DISABLE_JIT=1 pytest -n 2 -p tests.support.lines_of_tests --lines-of-tests plain. \\
        $(python -m tests.mutants --concern plain)
    python -m tests.mutants --count 200 --lines lines.gw0 lines.gw1 --plain-lines plain.gw0 plain.gw1 --out mutants.jsonl

Tests are run with plain Python engine sources (NUMBA_DISABLE_JIT=1) for what Numba compiles, and with the compiled engine for the rest.
A mutant is *killed* when a test fails, or when the tests take five times as long as without it (of processor time, and at least a
minute more).
With --quick nobody measures how long they take without it, and what has not failed after --limit seconds is *undecided*.
What survives is either a gap in the tests or means the same as the original; a person has to look. What somebody found to mean the same
is in tests/mutants_alike.toml with the reason, by function and text (and the whole line, where others of the function look the
same), and the report says so behind it (*alike*; it counts as survived).

No mutants are made of what cannot mean anything else in a program that mypy accepts:

- annotations, decorators of functions (sizes of caches), `if TYPE_CHECKING`, `if __name__ == ...`: no value of a run comes from them;
- `assert`, and `strict=True` of zip: they state what holds anyway, and say so if it does not;
- what `raise` says: the words of messages are compared by their own tests, as texts;
- `frozen`, `slots` and `repr` of dataclasses: what nobody may assign is checked by mypy, and the form is for whoever debugs;
- `return False` made `return None`: the same in every condition (made `return True` it is a mutant);
- `print()`, an empty line, and `indent=` of JSON: whoever reads the output reads the same.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ALIKE = Path(__file__).with_name("mutants_alike.toml")
PARTS = ("meshlang", "stdlib", "programs", "tests", "docs", "pyproject.toml", "README.md", "LICENSE")

# what runs for a file: the first row whose beginning fits; then test files that have the file's name in theirs come first
CONCERN: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("meshlang/syntax", ("tests/syntax", "tests/sema/test_forms.py", "tests/sema/test_errors.py")),
    ("meshlang/diag", ("tests/diag", "tests/sema/test_errors.py", "tests/cli/test_cli.py")),
    (
        "meshlang/sema",
        ("tests/sema", "tests/lang/test_expressions.py", "tests/lang/test_statements.py", "tests/lang/test_checks.py"),
    ),
    ("meshlang/builtins", ("tests/sema", "tests/lang", "tests/stdlib/test_tile_config.py")),
    (
        "meshlang/ir",
        (
            "tests/ir",
            "tests/fabric/test_door.py",
            "tests/fabric/test_engine_scalar.py",
            "tests/fabric/test_engine_vectors.py",
        ),
    ),
    ("meshlang/optimise", ("tests/optimise", "tests/lang/test_expressions.py", "tests/lang/test_statements.py")),
    (
        "meshlang/fabric/engine/jit.py",  # each of its mutants compiles the engine
        ("tests/fabric/test_engine_scalar.py", "tests/fabric/test_fifo.py", "tests/fabric/test_bands.py"),
    ),
    (
        "meshlang/fabric/engine",
        (
            "tests/fabric/test_engine_scalar.py",
            "tests/fabric/test_engine_vectors.py",
            "tests/fabric/test_engine_network.py",
            "tests/fabric/test_engine_exact.py",
            "tests/fabric/test_engine_faults.py",
            "tests/fabric/test_engine_wse3_timing.py",
            "tests/fabric/test_fifo.py",
            "tests/fabric/test_switching.py",
            "tests/fabric/test_color_swap.py",
            "tests/lang/test_exceptions.py",
            "tests/lang/test_circbuf.py",
            "tests/lang/test_tolerated.py",
            "tests/lang/test_on_control.py",
            "tests/lang/test_rotating_tasks.py",
            "tests/inspect/test_trace_recording.py",
        ),
    ),
    ("meshlang/fabric/recording", ("tests/inspect/test_trace_recording.py", "tests/inspect/test_trace_exporters.py")),
    (
        "meshlang/fabric",
        (
            "tests/fabric",
            "tests/lang/test_tolerated.py",
            "tests/lang/test_run_time_checks.py",
            "tests/inspect/test_why.py",
        ),
    ),
    ("meshlang/host", ("tests/host", "tests/cli/test_cli.py")),
    ("meshlang/models", ("tests/models",)),
    ("meshlang/inspect/why", ("tests/inspect/test_why.py", "tests/inspect/test_why_programs.py")),
    ("meshlang/inspect/report/counting.py", ("tests/inspect/test_report.py",)),
    ("meshlang/inspect", ("tests/inspect",)),
    ("meshlang/commands", ("tests/cli", "tests/inspect/test_transcripts.py")),
    ("meshlang/serve/checksum.py", ("tests/serve/test_checksum.py",)),
    ("meshlang/serve", ("tests/serve",)),
    ("meshlang", ("tests/test_cache.py", "tests/test_files.py", "tests/test_environment.py", "tests/cli/test_cli.py")),
)
PLAIN = (  # Numba compiles it, or anew when it changes: run as plain Python
    "meshlang/fabric/engine",
    "meshlang/ir",
    "meshlang/inspect/report/counting.py",
    "meshlang/serve/checksum.py",
)
COMPILES = "meshlang/fabric/engine/jit.py"  # does nothing in plain Python
COMPILING = 300  # seconds that the engine may take to compile
ENOUGH = 300  # tests that execute a line: what so many do not notice is taken to be unnoticed
SKIPPED = (
    "meshlang/fabric/bench.py",
    "meshlang/fabric/overhead.py",
    "meshlang/fabric/startup.py",
)  # their tests measure

COMPARE = {
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "==": "!=",
    "!=": "==",
    "in": "not in",
    "not in": "in",
    "is": "is not",
    "is not": "is",
}
SILENT = {  # keywords that say nothing: see above
    "dataclass": ("frozen", "slots", "repr"),
    "field": ("repr",),
    "zip": ("strict",),
    "dump": ("indent",),
    "dumps": ("indent",),
}
BINARY = {"+": "-", "-": "+", "*": "//", "//": "*", "<<": ">>", ">>": "<<", "&": "|", "|": "&"}


@dataclass(frozen=True)
class Mutant:
    """One change: bytes start to end of a file become `text`."""

    file: str
    line: int
    kind: str
    start: int
    end: int
    text: str
    was: str
    statement: int  # the line on which its statement begins
    at_import: bool = False  # it runs when the file is imported, not in a function

    @property
    def key(self) -> str:
        return f"{self.file}:{self.start}:{self.end}:{self.text}"


class _Finder(ast.NodeVisitor):
    """Places of a file that can be changed."""

    def __init__(self, file: str, source: bytes):
        self.file, self.source = file, source
        self.lines = [0]
        for line in source.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))
        self.found: list[Mutant] = []
        self.statement = 1
        self.inside = 0  # functions

    def visit(self, node: ast.AST) -> None:
        outer = self.statement
        if isinstance(node, ast.stmt):
            self.statement = node.lineno
        super().visit(node)
        self.statement = outer

    def at(self, line: int, column: int) -> int:
        return self.lines[line - 1] + column

    def span(self, node: ast.AST) -> tuple[int, int]:
        place: ast.expr = node  # type: ignore[assignment]
        assert place.end_lineno is not None and place.end_col_offset is not None
        return self.at(place.lineno, place.col_offset), self.at(place.end_lineno, place.end_col_offset)

    def add(self, kind: str, node: ast.AST, start: int, end: int, text: str) -> None:
        was = self.source[start:end].decode()
        line: int = node.lineno  # type: ignore[attr-defined]
        self.found.append(Mutant(self.file, line, kind, start, end, text, was, self.statement, not self.inside))

    def between(self, kind: str, left: ast.AST, right: ast.AST, changes: dict[str, str]) -> None:
        """The operator between two operands."""
        start, end = self.span(left)[1], self.span(right)[0]
        words = "|".join(sorted(map(re.escape, changes), key=len, reverse=True))
        match = re.fullmatch(rf"([\s)]*)({words})([\s(]*)", self.source[start:end].decode())
        if match:
            self.add(kind, right, start + match.start(2), start + match.end(2), changes[match[2]])

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for left, right in zip(operands, operands[1:], strict=False):
            self.between("comparison", left, right, COMPARE)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        texts = (ast.JoinedStr, ast.List, ast.Tuple, ast.ListComp)
        text = [
            n
            for n in (node.left, node.right)
            if isinstance(n, texts) or (isinstance(n, ast.Constant) and isinstance(n.value, str))
        ]
        if not text:
            self.between("arithmetic", node.left, node.right, BINARY)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.between("and/or", left, right, {"and": "or", "or": "and"})
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            start = self.span(node)[0]
            self.add("not", node, start, start + len("not"), "")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        start, end = self.span(node)
        if isinstance(node.value, bool):
            self.add("bool", node, start, end, str(not node.value))
        elif isinstance(node.value, int):
            self.add("constant", node, start, end, str(node.value + 1))

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        if (
            isinstance(node.test, ast.Compare)
            and isinstance(node.test.left, ast.Name)
            and node.test.left.id == "__name__"
        ):
            return
        start, end = self.span(node.test)
        self.add("condition", node, start, end, f"not ({self.source[start:end].decode()})")
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            start, end = self.span(node.value)
            falsehood = isinstance(node.value, ast.Constant) and node.value.value is False
            if not any(self.file.startswith(p) for p in PLAIN) and not falsehood:
                self.add("returned", node, start, end, "None")
            self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        silent = SILENT.get(ast.unparse(node.func).rpartition(".")[2], ())
        for part in (node.func, *node.args, *(k for k in node.keywords if k.arg not in silent)):
            self.visit(part)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call) and ast.unparse(node.value) != "print()":
            self.add("statement", node, *self.span(node), "pass")
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.add("statement", node, *self.span(node), "pass")
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)
        self.inside += 1
        for statement in node.body:
            self.visit(statement)
        self.inside -= 1

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        """What is asserted should hold anyway."""

    def visit_Raise(self, node: ast.Raise) -> None:
        """Messages: their words are no meaning that a mutant could change."""


def mutants_of(file: str) -> list[Mutant]:
    source = (ROOT / file).read_bytes()
    finder = _Finder(file, source)
    finder.visit(ast.parse(source))
    return finder.found


def concern(file: str, root: Path = ROOT) -> tuple[str, ...]:
    """Test files for a source file, those of its name first."""
    row = next(tests for prefix, tests in CONCERN if file.startswith(prefix))
    files: list[str] = []
    for place in row:
        path = root / place
        found = sorted(path.glob("test_*.py")) if path.is_dir() else [path] if path.is_file() else []
        files += [str(p.relative_to(root)) for p in found]
    stem = Path(file).stem.strip("_")
    return tuple(sorted(dict.fromkeys(files), key=lambda f: stem not in Path(f).stem))


def room(file: str) -> str:
    parts = Path(file).parts
    return (
        "/".join(parts[: 3 if parts[1] in ("fabric", "sema", "inspect", "host") and len(parts) > 3 else 2])
        if len(parts) > 2
        else "meshlang"
    )


def drawn(files: list[str], seed: int) -> Iterator[Mutant]:
    """Mutants without end of the choice, evenly over the rooms, and within a room over its places."""
    rng = random.Random(seed)
    rooms: dict[str, list[Mutant]] = {}
    for file in files:
        rooms.setdefault(room(file), []).extend(mutants_of(file))
    for found in rooms.values():
        rng.shuffle(found)
    while any(rooms.values()):
        for name in sorted(rooms):
            if rooms[name]:
                yield rooms[name].pop()


class Lines:
    """Which tests execute a line: at most `most` seconds of them."""

    def __init__(self, files: list[Path], most: float):
        self.most = most
        self.seconds: dict[str, float] = {}
        self.of: dict[str, list[tuple[str, int]]] = {}
        for file in files:
            for row in file.read_text().splitlines():
                test, self.seconds[test], sources = json.loads(row)
                for source, bits in sources.items():
                    self.of.setdefault(source, []).append((test, int(bits, 16)))

    def tests(self, mutant: Mutant, any_line: bool = False) -> tuple[str, ...]:
        """Those that execute the line of a mutant or, if a part of a statement is no line of its own, the statement's first: those
        first that concern the file, by name and by room, of each kind the quick ones; no more than ENOUGH, and `most` seconds.

        What runs when the file is imported (tables, constants, defaults) runs in the test that happens to be the first, or in none.
        Then, and with any_line, it is those that execute anything of the file or have its name and, if there are none, those that
        concern it."""
        files = concern(mutant.file)
        stem = Path(mutant.file).stem.strip("_")

        def order(test: str) -> tuple[int, float]:
            file = test.partition("::")[0]
            return (0 if stem in Path(file).stem else 1 if file in files else 2), self.seconds[test]

        executing = self.of.get(mutant.file, ())
        choices = [[t for t, bits in executing if bits >> line & 1] for line in (mutant.line, mutant.statement)]
        if mutant.at_import:
            choices = []
        if any_line or mutant.at_import:
            named = [
                t for t in self.seconds if stem in Path(t.partition("::")[0]).stem
            ]  # they may only read what is there
            choices += [
                [*(t for t, _ in executing), *named],
                [t for t in self.seconds if t.partition("::")[0] in files],
            ]
        for found in choices:
            if found:
                chosen = sorted(set(found), key=order)[:ENOUGH]
                spent = list(accumulate(self.seconds[t] for t in chosen))
                return tuple(t for t, until in zip(chosen, spent, strict=True) if until <= self.most or t == chosen[0])
        return ()


class Bench:
    """The copy in which mutants are tried, and how long tests take there without one."""

    def __init__(self, folder: Path, limit: float, quick: bool, lines: Lines, plain: Lines):
        self.folder, self.limit, self.quick, self.lines, self.plain = folder, limit, quick, lines, plain
        self.times: dict[tuple[str, ...], float] = {}
        for name in PARTS:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "out"))
            elif source.exists():
                shutil.copy(source, folder / name)
        # of what no mutant changes, the compiled code is at hand: a run then takes half as long
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "tests"]
        env = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "", "MESHLANG_BACKGROUND": "0"}
        subprocess.run(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)

    def run(self, tests: tuple[str, ...], plain: bool, limit: float) -> tuple[str, float, str]:
        """ "passed", "failed" or "time-out", seconds, and the last line that pytest printed. Cases that a table of the sources names may
        have another name now: then all cases of the test run, and if that is not there either, all tests of the file."""
        result = self._run(tests, plain, limit)
        for separator in ("[", "::"):
            if result is None:
                tests = tuple(dict.fromkeys(test.partition(separator)[0] for test in tests))
                result = self._run(tests, plain, limit)
        if result is None:
            raise SystemExit(f"pytest finds none of {' '.join(tests)}")
        return result

    def _run(self, tests: tuple[str, ...], plain: bool, limit: float) -> tuple[str, float, str] | None:
        """The same; None if pytest does not find a test."""
        env = {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", "MESHLANG_BACKGROUND": "0"}
        if plain:
            env["NUMBA_DISABLE_JIT"] = "1"
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        out = ""
        while True:
            try:
                out, _ = process.communicate(timeout=1)
                break
            except subprocess.TimeoutExpired:
                waited = time.monotonic() - began
                if waited > 10 * limit or worked(process.pid, waited) > limit:
                    os.killpg(process.pid, 9)
                    process.communicate()
                    return "time-out", time.monotonic() - began, ""
        last = next(
            (line for line in reversed(out.splitlines()) if line.startswith(("FAILED", "ERROR"))), out.strip()[-200:]
        )
        # a test file that cannot be imported is the mutant's doing
        if process.returncode in (3, 4) and "ERROR tests/" not in out:
            if "ERROR: not found: " in out:
                return None
            raise SystemExit(f"pytest could not run: {out[-500:]}")
        return "passed" if process.returncode == 0 else "failed", time.monotonic() - began, last

    def usual(self, tests: tuple[str, ...], plain: bool) -> float:
        """How long the tests take without a mutant. They have to pass."""
        if tests not in self.times:
            result, seconds, last = self.run(tests, plain, self.limit)
            if result != "passed":
                raise SystemExit(f"without a mutant: {result} after {seconds:.0f} s: {last}\n{' '.join(tests)}")
            self.times[tests] = seconds
        return self.times[tests]

    def tried(self, mutant: Mutant) -> dict[str, object]:
        plain = mutant.file.startswith(PLAIN) and mutant.file != COMPILES
        lines = Lines([], 0) if mutant.file == COMPILES else self.plain if plain else self.lines
        tests, limit = lines.tests(mutant), self.limit
        known = bool(tests)
        if plain and not known:  # who executes it with the compiled engine may do so without
            tests = self.lines.tests(mutant)
        if not tests:
            tests = lines.tests(mutant, any_line=True)
            known = bool(tests)
        if lines.seconds and not tests:
            return outcome(mutant, 0, "survives", "no test executes it", 0, "no test executes it")
        if known:
            limit = 5 * (5 + sum(lines.seconds[t] for t in tests))
        elif not tests:
            tests = concern(mutant.file, self.folder)
        if not self.quick and not known:
            usual = self.usual(tests, plain)
            limit = max(5 * usual, usual + 60) + (COMPILING if mutant.file == COMPILES else 0)
        path = self.folder / mutant.file
        source, stat = path.read_bytes(), path.stat()
        path.write_bytes(source[: mutant.start] + mutant.text.encode() + source[mutant.end :])
        os.utime(path, (stat.st_atime, stat.st_mtime + 2))  # the compiled code goes by size and second
        try:
            result, seconds, last = self.run(tests, plain, limit)
        finally:
            path.write_bytes(source)
            os.utime(path, (stat.st_atime, stat.st_mtime))
        measured = known or not self.quick
        fate = {"passed": "survives", "failed": "killed", "time-out": "killed" if measured else "undecided"}[result]
        return outcome(mutant, len(tests), fate, result, round(seconds, 1), last)


def worked(group: int, otherwise: float) -> float:
    """Seconds of processor time of a group of processes and of their children that have ended: other work on the machine does not
    count, nor does a process that is stopped. Where the system does not say: `otherwise`."""
    ticks = 0
    try:
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                words = stat.read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            if int(words[2]) == group:
                ticks += sum(map(int, words[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK") if ticks else otherwise
    except (OSError, ValueError, IndexError, AttributeError):
        return otherwise


def outcome(mutant: Mutant, tests: int, fate: str, how: str, seconds: float, by: str) -> dict[str, object]:
    """A line of the file of results."""
    return {**asdict(mutant), "tests": tests, "fate": fate, "how": how, "seconds": seconds, "by": by}


def line_of(row: dict) -> str:
    change = f"{row['kind']}: {row['was'][:50]!r} -> {row['text'][:50]!r}"
    why = alike(row)
    told = f"alike: {why}" if why is not None and row["fate"] != "killed" else row["by"][:100]
    return f"{row['fate']:9} {row['seconds']:6} s  {row['file']}:{row['line']} {change}  {told}"


@cache
def _known_alike() -> list[dict[str, str]]:
    return tomllib.loads(ALIKE.read_text(encoding="utf-8")).get("mutant", [])


def alike(row: dict) -> str | None:
    """Why a mutant means the same as the original, if somebody has found that it does."""
    file, line = row["file"], row["line"]
    text = (ROOT / file).read_text(encoding="utf-8").splitlines()[line - 1].strip()
    place = {"file": file, "in": enclosing(file, line), "was": row["was"], "becomes": row["text"], "line": text}
    for known in _known_alike():
        if all(known[key] == place[key] for key in known if key != "why"):
            return known["why"]
    return None


def enclosing(file: str, line: int) -> str:
    """The function or class that a line stands in, with those around it; "" at the top."""
    names: list[str] = []
    node: ast.AST = ast.parse((ROOT / file).read_bytes())
    while True:
        inner = next(
            (
                n
                for n in ast.walk(node)
                if n is not node
                and isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
                and n.lineno <= line <= (n.end_lineno or 0)
            ),
            None,
        )
        if inner is None:
            return ".".join(names)
        names.append(inner.name)
        node = inner


def report(rows: list[dict]) -> str:
    rooms: dict[str, list[dict]] = {}
    for row in rows:
        rooms.setdefault(room(row["file"]), []).append(row)
    lines = [f"{'room':28} killed survives undecided   alike"]
    for name, of in [*sorted(rooms.items()), ("all", rows)]:
        killed, survives, undecided = (sum(r["fate"] == f for r in of) for f in ("killed", "survives", "undecided"))
        same = sum(r["fate"] != "killed" and alike(r) is not None for r in of)
        lines.append(f"{name:28} {killed:6} {survives:8} {undecided:9} {same:7}")
    lines += [line_of(r) for r in rows if r["fate"] != "killed"]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--file", action="append", help="only this file (may be given several times)")
    parser.add_argument("--room", action="append", help="of what is drawn, only this room (may be given several times)")
    parser.add_argument("--between", help="FIRST:LAST, lines of one --file")
    parser.add_argument(
        "--out", type=Path, default=Path("mutants.jsonl"), help="results, one a line; what is there is not done again"
    )
    parser.add_argument("--limit", type=float, default=900, help="seconds that tests may take without a mutant")
    parser.add_argument("--quick", action="store_true", help="do not measure the tests without a mutant first")
    parser.add_argument("--lines", nargs="+", type=Path, default=[], help="what tests.support.lines_of_tests wrote")
    parser.add_argument("--seconds", type=float, default=40, help="of tests for a mutant, with --lines")
    parser.add_argument("--again", action="store_true", help="try what has survived once more")
    parser.add_argument("--plain-lines", nargs="+", type=Path, default=[], help="the same, with NUMBA_DISABLE_JIT=1")
    parser.add_argument(
        "--concern",
        metavar="FILE",
        help="only print the tests that concern a file or folder, or what is run as plain Python (plain)",
    )
    parser.add_argument("--report", type=Path, help="only print what is in a file of results")
    args = parser.parse_args()
    if args.report:
        print(report([json.loads(line) for line in args.report.read_text().splitlines()]))
        return
    if args.concern:
        places = PLAIN if args.concern == "plain" else (args.concern,)
        print(*dict.fromkeys(test for place in places for test in concern(place)))
        return
    every = [str(p.relative_to(ROOT)) for p in sorted((ROOT / "meshlang").rglob("*.py"))]
    files = args.file or [f for f in every if f not in SKIPPED]
    rows = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.exists() else []
    if args.again:
        rows = [r for r in rows if r["fate"] == "killed"]
        args.out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = {f"{r['file']}:{r['start']}:{r['end']}:{r['text']}" for r in rows}
    first, last = map(int, args.between.split(":")) if args.between else (0, sys.maxsize)
    chosen = [
        m
        for m, _ in zip(
            (m for m in drawn(files, args.seed) if first <= m.line <= last), range(args.count), strict=False
        )
        if not args.room or room(m.file) in args.room
    ]
    lines, plain = Lines(args.lines, args.seconds), Lines(args.plain_lines, args.seconds)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), args.limit, args.quick, lines, plain)
        for mutant in chosen:
            if mutant.key in done:
                continue
            rows.append(bench.tried(mutant))
            with args.out.open("a") as out:
                out.write(json.dumps(rows[-1]) + "\n")
            print(line_of(rows[-1]), flush=True)
    print(report(rows))


if __name__ == "__main__":
    main()
