"""The documentation keeps up: every builtin is named, and the example of a new builtin works."""

import re
import shutil
from pathlib import Path

import pytest
from compiling import compile_files
from reference_vm import ReferenceVM

import meshlang
from meshlang.builtins import names, registry
from meshlang.ir.dsdops import DSD_OPS
from meshlang.paths import stdlib_dir
from meshlang.sema import compiler
from meshlang.sema.model import dsd_rules

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.mark.skipif(not DOCS.is_dir(), reason="no docs beside the tests")
def test_the_language_reference_names_every_builtin():
    text = (DOCS / "language.md").read_text(encoding="utf-8")
    named = set(re.findall(r"@(\w+)", text))
    families = {f"{n}{t}" for n in named for t in ("h", "s")}  # @fadd stands for @faddh and @fadds
    assert set(names()) - named - (families & set(DSD_OPS)) == set()
    assert {n for n in named - set(names()) if f"{n}h" not in DSD_OPS} == set()


@pytest.mark.skipif(not DOCS.is_dir(), reason="no docs beside the tests")
def test_the_table_of_arguments_is_the_one_that_is_read():
    """`python -m meshlang.sema.model.dsd_rules docs/language.md` writes it anew."""
    page = (DOCS / "language.md").read_text(encoding="utf-8")
    assert dsd_rules.updated(page) == page


def test_every_number_of_the_table_of_arguments_is_checked():
    """The rows with limits are those the builtins ask for: one that nobody reads would be a promise."""
    sources = "".join(p.read_text(encoding="utf-8") for p in Path(meshlang.__file__).parent.rglob("*.py"))
    for row in dsd_rules.ROWS:
        if row.type is not None:
            names = (
                f'RULES["{row.owner}", "{row.name}"]',
                f'RULES[kind, "{row.name}"]',
                f'RULES[kind.name, "{row.name}"]',
            )
            names += ('RULES["mem4d_dsd", name]', 'RULES[f"@{name}", "n"]')
            assert any(n in sources for n in names), row


@pytest.mark.skipif(not DOCS.is_dir(), reason="no docs beside the tests")
def test_the_example_of_a_new_builtin(tmp_path, monkeypatch):
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(@builtin.*?)```", text, re.DOTALL)[1]
    names()  # loads the registry
    monkeypatch.setattr(registry, "BUILTINS", dict(registry.BUILTINS))
    scope: dict = {}
    exec(
        "from meshlang.builtins.registry import builtin\nfrom meshlang.sema.model import types as T\n"
        "from meshlang.sema.model.values import Known, Reg\nfrom meshlang.ir.isa import MathFn, Op\n" + code,
        scope,
    )
    program = compile_files(
        tmp_path,
        """
var n: u16 = 7; var m: u16;
fn main() void { m = @popcount(n); @comptime_assert(@popcount(@as(i8, -1)) == 8); }""",
    )
    assert program.tiles[0].functions[0].name == "main"


@pytest.mark.skipif(not DOCS.is_dir(), reason="no docs beside the tests")
def test_the_examples_of_new_library_functions(tmp_path, monkeypatch):
    """One file each, as the page says: nothing else is touched before a program can use them."""
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    library, function = (
        re.search(rf"```csl\n({re.escape(start)}.*?)```", text, re.DOTALL)[1]
        for start in ("// <parity>", "// Whether any color")
    )
    stdlib = tmp_path / "stdlib"
    shutil.copytree(stdlib_dir(), stdlib)
    monkeypatch.setattr(compiler, "stdlib_dir", lambda: stdlib)
    (stdlib / "parity.csl").write_text(library)
    with open(stdlib / "tile_config" / "teardown.csl", "a") as file:
        file.write(function)
    folder = tmp_path / "program"
    folder.mkdir()
    program = compile_files(
        folder,
        """
const parity = @import_module("<parity>", .{ .width = 8 });
const tile_config = @import_module("<tile_config>");
var n: u16 = 0x0107; var m: u16; var torn = false;
fn main() void { m = parity.parity(n); }
task look() void { torn = tile_config.teardown.any_pending(tile_config.teardown.get_pending()); }
comptime { @bind_local_task(look, @get_local_task_id(8)); }""",
        optimise=0,
    )
    vm = ReferenceVM(program.tiles[0])
    vm.call("main")
    assert vm.read("m") == 1  # three ones in the low 8 bits
    assert {f.name for f in program.tiles[0].functions} >= {"main", "parity", "any_pending", "get_pending"}
