"""The documentation keeps up: every builtin is named, and the example of a new builtin works."""

import re
from pathlib import Path

import pytest
from compiling import compile_files

from meshlang.builtins import names, registry
from meshlang.ir.dsdops import DSD_OPS

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.mark.skipif(not DOCS.is_dir(), reason="no docs beside the tests")
def test_the_language_reference_names_every_builtin():
    text = (DOCS / "language.md").read_text(encoding="utf-8")
    named = set(re.findall(r"@(\w+)", text))
    families = {f"{n}{t}" for n in named for t in ("h", "s")}       # @fadd stands for @faddh and @fadds
    assert set(names()) - named - (families & set(DSD_OPS)) == set()
    assert {n for n in named - set(names()) if f"{n}h" not in DSD_OPS} == set()


@pytest.mark.skipif(not DOCS.is_dir(), reason="no docs beside the tests")
def test_the_example_of_a_new_builtin(tmp_path, monkeypatch):
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(@builtin.*?)```", text, re.DOTALL)[1]
    names()         # loads the registry
    monkeypatch.setattr(registry, "BUILTINS", dict(registry.BUILTINS))
    scope: dict = {}
    exec("from meshlang.builtins.registry import builtin\nfrom meshlang.sema import types as T\n"
         "from meshlang.sema.values import Known, Reg\nfrom meshlang.ir.isa import MathFn, Op\n" + code, scope)
    program = compile_files(tmp_path, """
var n: u16 = 7; var m: u16;
fn main() void { m = @popcount(n); @comptime_assert(@popcount(@as(i8, -1)) == 8); }""")
    assert program.tiles[0].functions[0].name == "main"
