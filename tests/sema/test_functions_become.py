"""What functions become: code in the loop of @map, or calls; where they end."""

import pytest

from meshlang.host.build import build
from meshlang.ir.isa import Op

LAYOUT = 'layout { @set_rectangle(1, 1); @set_tile_code(0, 0, "pe.csl"); @export_name("main", fn() void); }\n'
PE = """var a: [8]i16;
var n: i16;
const dsd = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{8} -> a[i] });
%s
fn main() void { @map(f, dsd, dsd); }
comptime { @export_symbol(main); }
"""


@pytest.mark.parametrize(
    ("function", "expanded"),
    [
        ("fn f(x: i16) i16 { return x + 1; }", True),
        ("fn f(x: i16) i16 { var y = x + 1; n = y; n += 1; return y; }", True),
        ("fn f(x: i16) i16 { var y = x + 1; n = y; n += 1; n += 2; return y; }", False),  # five statements
        ("fn f(x: i16) i16 { if (x > 0) { n += 1; } return x; }", False),
        ("fn f(x: i16) i16 { while (n < x) { n += 1; } return x; }", False),
        ("noinline fn f(x: i16) i16 { return x + 1; }", False),
    ],
)
def test_a_small_function_is_expanded_in_the_loop(tmp_path, function, expanded):
    """A few plain statements, as any compiler would; not what branches, is longer, or is to stay a function."""
    (tmp_path / "layout.csl").write_text(LAYOUT)
    (tmp_path / "pe.csl").write_text(PE % function)
    code = build(str(tmp_path / "layout.csl"), optimise=0).tiles[0].code
    calls = sum(int(row[0]) & 0xFF == Op.CALL for row in code)
    assert calls == (0 if expanded else 1)


@pytest.mark.parametrize(
    ("body", "ends"),
    [
        ("", [Op.RET]),
        ("return;", [Op.RET]),
        ("n = 1;", [Op.LDI, Op.ST, Op.RET]),
        ("n = 1; return;", [Op.LDI, Op.ST, Op.RET]),
    ],
)
def test_a_function_returns_once(tmp_path, body, ends):
    (tmp_path / "layout.csl").write_text(LAYOUT)
    (tmp_path / "pe.csl").write_text(
        f"var n: i16;\nfn main() void {{ {body} }}\ncomptime {{ @export_symbol(main); }}\n"
    )
    code = build(str(tmp_path / "layout.csl"), optimise=0).tiles[0].code
    assert [Op(int(row[0]) & 0xFF) for row in code] == ends
