"""`meshlang check --stdin`: programs that another program prints."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from meshlang.cli import main
from meshlang.diag import MeshlangError
from meshlang.syntax.stream import split

LAYOUT = """\
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0) });
  @export_name("main", fn() void);
}
"""
PE = """\
param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var x = @zeros([4]f32);
fn main() void {
  x[0] = 1.0;
  sys.unblock_cmd_stream();
}
comptime { @export_symbol(main); }
"""
STREAM = f"// printed by a generator\n// FILE: layout\n{LAYOUT}// FILE: pe.csl\n{PE}"


@pytest.fixture()
def check(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(text, *args, code=0):
        data = text if isinstance(text, bytes) else text.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        got = main(["check", "--stdin", *args])
        out, err = capsys.readouterr()
        assert got == code, (out, err)
        return out + err

    return run


def test_a_whole_program(check, tmp_path):
    assert "1 x 1 rectangle" in check(STREAM) and "layout.csl: no errors" in check(STREAM)
    assert not list(tmp_path.iterdir())
    assert json.loads(check(STREAM, "--json"))["ok"]
    assert "pe.csl" in check(STREAM, "--listing")


def test_data_among_the_files(check):
    data = 'const sizes = @import_comptime_value(struct { n: u16 }, "sizes.json");\ncomptime { @comptime_assert(sizes.n == 4); }\n'
    text = STREAM + data + "// FILE: sizes.json\n"
    assert "layout.csl: no errors" in check(text + '{"n": 4}\n')
    assert "assert" in check(text + '{"n": 5}\n', code=1)


def test_places_are_those_of_the_files(check):
    text = check(STREAM.replace("x[0] = 1.0", "x[0] = y"), code=1)
    assert "MS0201" in text and "--> pe.csl:5:10" in text
    report = json.loads(check(STREAM.replace("x[0] = 1.0", "x[0] = y"), "--json", code=1))
    assert report["diagnostics"][0]["span"]["path"] == "pe.csl"


def test_what_a_printer_got_wrong_is_found(check):
    """Two mistakes that a test of printed text does not see."""
    dsd = "const out = @get_dsd(fabout_dsd, .{ .extent = 4, .fabric_color = c, .output_queue = @get_output_queue(2 : ui5) });\n"
    assert "-> pe.csl:9:" in check(STREAM + dsd, code=1)
    assert "-> pe.csl:9:" in check(
        STREAM + "const d = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{4} -> x[i] }});\n", code=1
    )


def test_one_file(check, tmp_path):
    assert "<stdin>: no syntax errors" in check(PE)
    assert "<stdin>:1" in check("const x = ;\n", code=1)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "pe.csl").write_text(PE)
    assert "src/layout.csl: no errors" in check(LAYOUT, "src/layout.csl")  # as an editor asks for what it has not saved
    assert "MS0215" in check(LAYOUT, code=1)


def test_several_programs_in_a_stream(check):
    text = STREAM + "// FILE: other\n" + LAYOUT.replace("main", "nobody")
    assert "MS0607" in check(text, code=1)
    both = check(STREAM + "// FILE: other\n" + LAYOUT)
    assert "layout.csl: no errors" in both and "other.csl: no errors" in both


def test_mistakes_of_the_stream(check):
    assert "nothing came" in check("\n", code=2)
    assert "MS0906" in check(b"const x = \xff;", code=1)
    assert "MS1503" in check("var x: i16;\n" + STREAM, code=1)
    assert "MS1503" in check(STREAM + "// FILE:\n", code=1)
    assert "MS1503" in check(STREAM + "// FILE: pe\n", code=1)
    assert main(["check"]) == 2
    # a file that no layout uses is read all the same
    assert "spare.csl:2" in check(STREAM + "// FILE: spare\n\nvar 1;\n", code=1)


def test_names_and_texts():
    assert split("var x: i16;\n", "dir/../a.csl") == {"a.csl": "var x: i16;\n"}
    assert split("// FILE: b\r\nvar x: i16;\r\n//FILE:c/d.csl\n", "dir/a.csl") == {
        "dir/b.csl": "var x: i16;\r\n",
        "dir/c/d.csl": "",
    }
    with pytest.raises(MeshlangError) as raised:
        split("\n  var x: i16;\n// FILE: a\n", "a.csl")
    assert raised.value.diagnostics[0].span.line_col() == (2, 3)


def test_checking_loads_little():
    """What a small check imports is what it costs."""
    code = (
        "import io, sys; from meshlang.cli import main; sys.stdin = io.TextIOWrapper(io.BytesIO(sys.argv[1].encode()));"
        "main(['check', '--stdin', '--json']);"
        "print([m for m in ('numba', 'lark', 'rich', 'prompt_toolkit', 'meshlang.fabric.engine.core') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, STREAM], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_the_page_for_generators(check, capsys):
    """docs/ci.md: its stream is a program, and its Python says what it is meant to say."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "ci.md").read_text(encoding="utf-8")
    stream = re.search(r"```csl\n(.*?)```", page, re.DOTALL)[1]
    assert "layout.csl: no errors" in check(stream)
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], {})
    assert capsys.readouterr().out == "MS0301 pe.csl:1:14\n"
