"""Bad programs, each with the diagnostics it must get: the chunks of errors/*.csl (notation:
tests/support/compiling.py)."""

import re
from pathlib import Path

import pytest
from compiling import check, compile_files, diagnostics, read_chunks

import meshlang
from meshlang.diag import MeshlangError
from meshlang.diag.catalog import titles
from meshlang.host.build import compile_program
from meshlang.sema.model.options import CompileOptions

ERRORS = Path(__file__).parent / "errors"
CHUNKS = [c for path in sorted(ERRORS.glob("*.csl")) for c in read_chunks(path)]


@pytest.mark.parametrize("chunk", CHUNKS, ids=lambda c: c.name)
def test_chunk(chunk, tmp_path):
    check(chunk, diagnostics(tmp_path, chunk))


def codes_used() -> set[str]:
    root = Path(meshlang.__file__).parent
    text = "".join(
        p.read_text(encoding="utf-8") for d in ("sema", "builtins") for p in sorted((root / d).rglob("*.py"))
    )
    return set(re.findall(r'"(MS0[2-7]\d\d)"', text))


# The parser reports it first.
OUT_OF_REACH = {"MS0208"}


def test_every_code_has_a_chunk():
    assert codes_used() - {e.code for c in CHUNKS for e in c.expected} - OUT_OF_REACH == set()


def test_a_file_without_a_layout(tmp_path):
    (tmp_path / "pe.csl").write_text("fn f() void { }\n")
    with pytest.raises(MeshlangError) as e:
        compile_program(str(tmp_path / "pe.csl"), CompileOptions())
    assert [d.code for d in e.value.diagnostics] == ["MS0610"]


@pytest.mark.parametrize(
    "options, code",
    [({"arch": "wse4"}, "MS0214"), ({"fp16_format": "f8"}, "MS0214"), ({"fp16_format": "bf16"}, "MS0399")],
)
def test_options(tmp_path, options, code):
    with pytest.raises(MeshlangError) as e:
        compile_files(tmp_path, "fn f() void { }\n", **options)
    assert [d.code for d in e.value.diagnostics] == [code]


def test_every_code_has_a_page():
    assert codes_used() - set(titles()) == set()
