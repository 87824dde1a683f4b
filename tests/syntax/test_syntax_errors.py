"""Wrong programs and their diagnostics: the chunks of errors/*.csl, separated by lines `---`.

At the end of a chunk, one line per expected diagnostic, in order: `//! CODE line:column fragment of the message`.
"""

import re
from pathlib import Path

import pytest

from meshlang.diag import MeshlangError
from meshlang.diag.catalog import titles
from meshlang.syntax.parser import parse_text

FILES = sorted((Path(__file__).parent / "errors").glob("*.csl"))
EXPECTED = re.compile(r"//! (MS\d{4}) (\d+):(\d+) (.+)")


def chunks():
    for path in FILES:
        line = 1
        for chunk in path.read_text(encoding="utf-8").split("\n---\n"):
            yield pytest.param(chunk, id=f"{path.stem}-{line}")
            line += chunk.count("\n") + 2


@pytest.mark.parametrize("chunk", list(chunks()))
def test_chunk(chunk):
    lines = chunk.rstrip("\n").split("\n")
    program = "\n".join(line for line in lines if not line.startswith("//!")) + "\n"
    expected = [EXPECTED.fullmatch(line).groups() for line in lines if line.startswith("//!")]
    assert expected, "a chunk without expectation"
    with pytest.raises(MeshlangError) as e:
        parse_text(program)
    found = [(d.code, *map(str, d.span.line_col()), d.message) for d in e.value.diagnostics]
    assert [f[:3] for f in found] == [x[:3] for x in expected], found
    for (*_, message), (*_, fragment) in zip(found, expected):
        assert fragment in message


def test_every_syntax_code_is_provoked():
    provoked = set(re.findall(r"//! (MS\d{4})", "".join(p.read_text(encoding="utf-8") for p in FILES)))
    elsewhere = {"MS0129"}  # test_parser.py: it takes a very long line
    assert {code for code in titles() if code.startswith("MS01")} == provoked | elsewhere


def test_no_more_than_fifty():
    with pytest.raises(MeshlangError) as e:
        parse_text("fn f() void {\n" + "x = ;\n" * 200 + "}\n")
    assert len(e.value.diagnostics) == 50


def test_blanks_and_pasted_marks_are_one_message_each():
    with pytest.raises(MeshlangError) as e:
        parse_text("const a = ???;\nconst b = ??? + ???; [cite: 1]\nconst c = ???\n[cite_start]const d = 1;\n")
    assert [(d.code, d.span.line_col()[0], d.notes) for d in e.value.diagnostics] == [
        ("MS0133", 1, ["the same in line 2, 3"]),
        ("MS0134", 2, ["the same in line 4"]),
    ]
