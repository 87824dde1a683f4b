"""forms.csl: what people write, form by form, in the order of the language's documentation. All of it compiles, on both machines.

A title with `only wse2` or `only wse3` is of that machine.
"""

from pathlib import Path

import pytest
from compiling import compile_files, read_chunks

from meshlang.syntax import ast
from meshlang.syntax.parser import parse_text

CHUNKS = read_chunks(Path(__file__).parent / "forms.csl")
CASES = [(c, arch) for c in CHUNKS for arch in ("wse2", "wse3")]


def title(chunk) -> str:
    return next(iter(chunk.files.values())).strip().split("\n")[0].removeprefix("// ")


def text(chunk) -> str:
    return "\n".join(chunk.files.values())


def reached(source: str) -> str:
    """The file, with a look at each of its constants: what nothing reaches is not analysed."""
    names = [d.name for d in parse_text(source).items if isinstance(d, ast.Decl) and d.kind == "const"]
    return source + f"comptime {{ {' '.join(f'_ = {n};' for n in names)} }}\n"


@pytest.mark.parametrize(("chunk", "arch"), CASES, ids=lambda v: v if isinstance(v, str) else v.name)
def test_form(tmp_path, chunk, arch):
    found = text(chunk)
    if "only wse" in found and f"only {arch}" not in found:
        pytest.skip("of the other machine")
    files = {name: reached(source) if name == "pe.csl" else source for name, source in chunk.files.items()}
    program = compile_files(tmp_path, files, arch=arch)
    codes = {d.code for d in program.warnings}
    assert codes == ({"MS0327"} if "warnings only" in found else set())
