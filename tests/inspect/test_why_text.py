"""An explanation in words: which lines there are, how many of a kind are shown, what a diagnostic gets of it."""

from __future__ import annotations

import pytest

from meshlang.diag import Diagnostic
from meshlang.host.build import build
from meshlang.inspect.query import places
from meshlang.inspect.steps import step, step_text
from meshlang.inspect.why import RULES, Explanation, annotate, as_data, explanation_lines
from meshlang.inspect.why.code import senders
from meshlang.inspect.why.findings import Finding
from meshlang.syntax.source import SourceFile, Span

FILE = SourceFile("folder/pe.csl", "first\n  second line \nthird\n")
SPAN = Span(FILE, 8, 14)
HOST, NOBODY = step("comes_from_host", color=3), step("no_sender", pe=(1, 0), color=3)
RULE, OTHER, THIRD = "extent", "never_sent", "host"


def explanation(findings, hung=True, held=(), last="the last"):
    return Explanation(hung, 17, "nothing moves", findings, list(held), last)


def finding(x, span=None, steps=(), rule=None):
    return Finding([(x, 0)], HOST, span, list(steps), rule)


def test_lines_of_an_explanation():
    e = explanation([finding(0, SPAN, [NOBODY, HOST, step("closes")], RULE), finding(1)], held=[finding(2), finding(3)])
    text = step_text(HOST)
    assert list(explanation_lines(e)) == [
        ("cycle 17: nothing moves", "bold"),
        (f"PE 0,0: {text}", None),
        ("  pe.csl:2: second line", "cyan"),
        (f"  because {step_text(NOBODY)}", None),
        (f"  and {text}", None),
        (f"  {step_text(step('closes'))}", None),
        (f"PE 1,0: {text}", None),
        (f"and so: PE 2,0: {text}; PE 3,0: {text}", None),
        ("the last", None),
        (f"cause: {RULES[RULE].title}", "bold red"),
        (f"change: {RULES[RULE].change}", "green"),
    ]
    assert [line for line, _ in explanation_lines(explanation([], last=""))] == ["cycle 17: nothing moves"]


@pytest.mark.parametrize(("n", "more"), [(12, []), (13, ["and 1 more group"]), (20, ["and 8 more groups"])])
def test_twelve_groups_are_shown(n, more):
    lines = [line for line, _ in explanation_lines(explanation([finding(x) for x in range(n)], last=""))]
    assert len(lines) == 13 + len(more) and lines[13:] == more and lines[12].startswith("PE 11,0")
    d = Diagnostic("MS0857", "too long")
    annotate(d, explanation([finding(x, SPAN) for x in range(n)], hung=False))
    assert len([line for line in d.notes if line.startswith("PE ")]) == 12 and d.notes[0] == "nothing moves"
    assert d.notes[1] == f"PE 0,0: {step_text(HOST)} (pe.csl:2)" and d.notes[13:] == [*more, "the last"]


@pytest.mark.parametrize(("n", "more"), [(4, ""), (5, "; and 1 more")])
def test_four_groups_that_are_held_up_are_shown(n, more):
    e = explanation([], held=[finding(x) for x in range(n)])
    line = list(explanation_lines(e))[1][0]
    assert line == "and so: " + "; ".join(f"PE {x},0: {step_text(HOST)}" for x in range(4)) + more


def test_causes_are_named_once_in_order():
    e = explanation([finding(0, rule=OTHER), finding(1), finding(2, rule=RULE), finding(3, rule=OTHER)])
    assert e.causes() == [OTHER, RULE]
    data = as_data(e)
    assert [c["rule"] for c in data["causes"]] == [OTHER, RULE] and data["last_wavelet"] == "the last"
    assert data["groups"][0] | {"because": None} == {
        "pes": [(0, 0)],
        "text": step_text(HOST),
        "source": None,
        "because": None,
        "rule": OTHER,
        "waits": None,
    }


@pytest.mark.parametrize(("n", "shown"), [(5, [0, 1, 2, 3, 4]), (6, [0, 1, None, 3, 4, 5]), (9, [0, 1, None, 6, 7, 8])])
def test_a_long_walk_is_shown_at_both_ends(n, shown):
    steps = [step("no_sender", pe=(i, 0), color=3) for i in range(n)]
    d = Diagnostic("MS0856", "stands still")
    annotate(d, explanation([finding(0, steps=steps, rule=RULE)]))
    walk = ["because ..." if i is None else f"because {step_text(steps[i])}" for i in shown]
    assert d.notes == [*walk, f"cause: {RULES[RULE].title}", "the last"] and d.help == RULES[RULE].change


def test_three_causes_are_said_and_a_help_that_is_there_stays():
    names = list(RULES)[:4]
    e = explanation([finding(i, rule=name) for i, name in enumerate(names)])
    d = Diagnostic("MS0860", "circle", help="its own")
    annotate(d, e)
    assert d.help == "its own" and [n for n in d.notes if n.startswith("cause")] == [
        f"cause: {RULES[name].title}" for name in names[:3]
    ]
    for code, rules, replaced in (
        ("MS0856", [RULE], True),
        ("MS0856", ["no_unblock"], False),
        ("MS0860", [RULE], False),
    ):
        d = Diagnostic(code, "m", help="its own")
        annotate(d, explanation([finding(0, rule=name) for name in rules]))
        assert (d.help != "its own") == replaced, (code, rules)
    d = Diagnostic("MS0857", "too long", help="its own")
    annotate(d, explanation([finding(0, rule=RULE)], hung=False))
    assert d.help == RULES[RULE].change


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_where_code_sends(tmp_path, arch):
    """A DSD without a color has that of its queue, of its own side."""
    (tmp_path / "layout.csl").write_text("""layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl");
  @export_name("main", fn()void);
}
""")
    (tmp_path / "pe.csl").write_text(
        """const iq = @get_input_queue(2);
const oq = @get_output_queue(3);
const in = @get_dsd(fabin_dsd, .{ .extent = 1, COLOR5 .input_queue = iq });
const out = @get_dsd(fabout_dsd, .{ .extent = 1, COLOR3 .output_queue = oq });
fn main() void {
  @mov32(out, 1);
  @mov32(out, in);
}
comptime { @initialize_queue(iq, .{ .color = @get_color(5) }); OUTPUT @export_symbol(main); }
""".replace("COLOR5", ".fabric_color = @get_color(5)," if arch == "wse2" else "")
        .replace("COLOR3", ".fabric_color = @get_color(3)," if arch == "wse2" else "")
        .replace("OUTPUT", "@initialize_queue(oq, .{ .color = @get_color(3) });" if arch == "wse3" else "")
    )
    (tile,) = build(str(tmp_path / "layout.csl"), arch=arch).tiles
    assert senders(tile, 5) == step("sends_nothing", color=5)  # it only receives on it
    found = senders(tile, 3)
    assert found.what == "sends_in" and found.value("color") == 3 and "pe.csl:6" in step_text(found)


def test_places_in_words():
    assert places([(2, 1)]) == "PE 2,1"
    assert places([(x, y) for x in range(4) for y in range(3)]) == "12 PEs 0:4,0:3"
    assert places([(1, 2), (2, 2)]) == "2 PEs 1:3,2" and places([(1, 2), (1, 3)]) == "2 PEs 1,2:4"
    assert places([(0, 0), (2, 1)]) == "2 PEs 0,0 2,1"
    assert places([(i, i) for i in range(4)]) == "4 PEs 0,0 1,1 2,2 3,3"
    assert places([(i, i) for i in range(5)]) == "5 PEs 0,0 1,1 2,2 3,3 ..."


def test_who_waits_for_whom():
    f = Finding(
        [(0, 0)], HOST, steps=[step("no_sender", pe=(1, 0), color=3), HOST, step("no_sender", pe=(1, 0), color=4)]
    )
    assert f.chain == [((0, 0), (1, 0))]
    f = Finding(
        [(0, 0)], HOST, steps=[step("no_sender", pes=((1, 0), (2, 0)), color=3), step("no_sender", pe=(3, 0), color=3)]
    )
    assert f.chain == [((0, 0), (1, 0)), ((0, 0), (2, 0)), ((1, 0), (3, 0))]
