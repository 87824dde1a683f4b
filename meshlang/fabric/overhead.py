"""What the flight recorder costs, and the possibility to trace while nobody does: the engine against itself without
those lines.

A child process takes the lines out of the engine's sources as it imports them, so nothing in the engine is there for
this measurement. Processes with and without take turns, and each reports processor time, so that other work on the
machine matters little.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

FLIGHT, TRACE = "flight", "trace"
_QUESTIONS = ("full", "resumed")  # asked of the recorder by the run loop
ROUNDS = 4


class _Without(ast.NodeTransformer):
    """Statements that report to the flight recorder or to a trace are taken out."""

    def __init__(self, what: str):
        self.what, self.removed = what, 0

    def _is_report(self, node: ast.expr) -> bool:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            return False
        name = node.func.id
        return name == "flight" if self.what == FLIGHT else name.startswith("trace_")

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if self._is_report(node.value):
            self.removed += 1
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if self.what == TRACE and isinstance(node.func, ast.Name) and node.func.id in _QUESTIONS:
            self.removed += 1
            return ast.copy_location(ast.Constant(False), node)
        return self.generic_visit(node)


def without(source: str, what: str) -> tuple[ast.Module, int]:
    """A source without its reports, and how many have been taken out."""
    transformer = _Without(what)
    tree = transformer.visit(ast.parse(source))
    return ast.fix_missing_locations(tree), transformer.removed


class _Loader(importlib.machinery.SourceFileLoader):
    what = ""
    removed = 0

    def get_code(self, fullname: str) -> CodeType:
        tree, removed = without(Path(self.path).read_text(encoding="utf-8"), self.what)
        type(self).removed += removed
        return compile(tree, self.path, "exec")


class _Finder(importlib.abc.MetaPathFinder):
    """For the engine's modules; trace.py defines the reports and stays as it is."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        package, _, name = fullname.rpartition(".")
        if (
            package != "meshlang.fabric.engine"
            or name == "trace"
            or not path
            or not (file := Path(path[0]) / f"{name}.py").is_file()
        ):
            return None
        return importlib.util.spec_from_file_location(fullname, file, loader=_Loader(fullname, str(file)))


def _measure() -> dict[str, float]:
    """Rates per second of processor time, the best of several."""
    from . import bench
    from .machine import Machine

    def best(program: Any, count: str, again: bool) -> float:
        """`again`: launched several times on one machine, of which the first touches the memory; else once on
        several."""
        machine = Machine(program)
        rates = []
        for _ in range(6):
            if not again:
                machine = Machine(program)
            before = machine.stats()[count]
            machine.launch("main")
            start = time.process_time()
            machine.run("commands")
            machine.run()
            rates.append((machine.stats()[count] - before) / (time.process_time() - start))
        return max(rates[1:])

    return {
        "task starts": best(bench.task_starts(1_000_000), "tasks", False),
        "wavelet-hops": best(bench.trees(64, 512, True), "hops", True),
    }


def _child(what: str) -> None:
    if what:
        _Loader.what = what
        sys.meta_path.insert(0, _Finder())
    rates = _measure()
    print(json.dumps({"rates": rates, "removed": _Loader.removed}))


def _run(what: str) -> dict[str, float]:
    """The rates of a process without something (or of the engine as it is)."""
    from .engine import jit

    environment = dict(os.environ)
    directory = jit.cache_directory(Path(jit.__file__).with_name("loop.py"))
    if what and directory is not None:
        own = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
        environment["MESHLANG_CACHE_DIR"] = str(directory.parent / f"without-{what}-{own}")
    done = subprocess.run(
        [sys.executable, "-m", __name__, what],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    if bool(what) != bool(found["removed"]):
        raise RuntimeError(f"{found['removed']} lines were taken out for {what!r}")
    rates: dict[str, float] = found["rates"]
    return rates


def overhead() -> list[dict[str, Any]]:
    """Rows for `meshlang bench`: the ratio is that of the engine to the engine without."""
    best: dict[str, dict[str, float]] = {"": {}, FLIGHT: {}, TRACE: {}}
    for _ in range(ROUNDS):
        for what, rates in best.items():
            for name, rate in _run(what).items():
                rates[name] = max(rate, rates.get(name, 0.0))
    labels = {FLIGHT: "flight recorder", TRACE: "tracing, switched off"}
    return [
        {
            "what": f"{labels[what]}: {name}",
            "value": rate,
            "unit": "1/s",
            "ratio": rate / best[what][name],
            "to": "the engine without it",
        }
        for what in (FLIGHT, TRACE)
        for name, rate in best[""].items()
    ]


if __name__ == "__main__":
    _child(sys.argv[1])
