"""The engine without its recorders, as `meshlang bench --off` compares with: what is taken out, and that nothing else
changes."""

import ast
from pathlib import Path

import pytest

from meshlang.fabric import overhead
from meshlang.fabric.engine import bulk, core, elements, instructions, loop, queues, router, switch, tasks, threads

ENGINE = [bulk, core, elements, loop, instructions, queues, router, switch, tasks, threads]


@pytest.mark.parametrize("module", ENGINE)
def test_only_reports_are_taken_out(module):
    source = Path(module.__file__).read_text()
    for what, names in ((overhead.FLIGHT, ("flight",)), (overhead.TRACE, ("trace_", "full", "resumed"))):
        tree, removed = overhead.without(source, what)
        called = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
        assert not {c for c in called if c in names or c.startswith("trace_") and what == overhead.TRACE}
        before = [
            n.func.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
        ]
        assert removed == sum(c in names or c.startswith("trace_") and what == overhead.TRACE for c in before)
        assert len(list(ast.walk(tree))) <= len(list(ast.walk(ast.parse(source))))


def test_each_recorder_has_lines():
    sources = [Path(m.__file__).read_text() for m in ENGINE]
    assert sum(overhead.without(s, overhead.FLIGHT)[1] for s in sources) >= 2
    assert sum(overhead.without(s, overhead.TRACE)[1] for s in sources) >= 20
