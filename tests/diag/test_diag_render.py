"""Diagnostics as text and as JSON."""

import io

from meshlang.diag import Diagnostic, Label
from meshlang.diag.render import render_text, summed_up, to_json, to_text
from meshlang.syntax.source import SourceFile, Span

A = SourceFile("a.csl", "const x = 1;\n\tvar y: i16 = x;\n\n\n// é 漢字 z\nfn f() void {\n}\nlast")
B = SourceFile("dir/b.csl", "param n: i16;\n")


def at(file, text, length=None):
    start = file.text.index(text)
    return Span(file, start, start + (len(text) if length is None else length))


def test_plain():
    assert (
        to_text(Diagnostic("MS0301", "no such thing", at(A, "x = 1"), help="do this", notes=["n1", "n2"]))
        == """\
error[MS0301]: no such thing
 --> a.csl:1:7
  |
1 | const x = 1;
  |       ^^^^^
  = note: n1
  = note: n2
  = help: do this"""
    )


def test_labels_near_far_and_in_another_file():
    d = Diagnostic(
        "MS0401",
        "bound twice",
        at(A, "y"),
        severity="warning",
        labels=[
            Label(at(A, "x = 1", 1), "first bound here"),
            Label(at(A, "last"), "and here"),
            Label(at(B, "n"), "the parameter"),
        ],
    )
    assert (
        to_text([d])
        == """\
warning[MS0401]: bound twice
 --> a.csl:2:6
  |
1 | const x = 1;
  |       - first bound here
2 |     var y: i16 = x;
  |         ^
...
8 | last
  | ---- and here
 ::: dir/b.csl:1:7
  |
1 | param n: i16;
  |       - the parameter"""
    )


def test_one_line_gap_is_shown_and_several_lines_are_cut():
    d = Diagnostic("MS0103", "m", at(A, "{\n}"), labels=[Label(at(A, "last"), "")])
    assert (
        to_text(d)
        == """\
error[MS0103]: m
 --> a.csl:6:13
  |
6 | fn f() void {
  |             ^
7 | }
8 | last
  | ----"""
    )


def test_a_line_between_two_marks_is_shown_from_its_beginning():
    """However long it is; two lines between are dots."""
    file = SourceFile("f.csl", "one\n" + "x" * 300 + "\nthree\n\nfive\n\n\neight")
    d = Diagnostic("MS0103", "m", at(file, "one"), labels=[Label(at(file, w), w) for w in ("three", "five", "eight")])
    assert to_text(d).splitlines()[2:] == [
        "  |",
        "1 | one",
        "  | ^^^",
        "2 | " + "x" * 240 + " ...",
        "3 | three",
        "  | ----- three",
        "4 |",
        "5 | five",
        "  | ---- five",
        "...",
        "8 | eight",
        "  | ----- eight",
    ]


def test_marks_of_one_line_stand_in_order_behind_the_first():
    file = SourceFile("f.csl", "ab cd ef\ng\n")
    d = Diagnostic("MS0401", "m", at(file, "cd"), labels=[Label(at(file, "ef"), "2"), Label(at(file, "ab"), "1")])
    assert to_text(d).splitlines()[3:] == ["1 | ab cd ef", "  |    ^^", "  | -- 1", "  |       -- 2"]
    # what goes on behind the end of its line is marked up to there; nothing is marked as one column
    many = Span(file, 3, len(file.text))
    assert to_text(Diagnostic("MS0401", "m", many)).splitlines()[3:] == ["1 | ab cd ef", "  |    ^^^^^"]
    assert to_text(Diagnostic("MS0401", "m", Span(file, 0, 0))).splitlines()[3:] == ["1 | ab cd ef", "  | ^"]
    # numbers of lines are as wide as the widest
    long = SourceFile("g.csl", "\n" * 8 + "nine\nten")
    d = Diagnostic("MS0401", "m", at(long, "nine"), labels=[Label(at(long, "ten"), "")], notes=["n\nmore"])
    assert to_text(d).splitlines()[1:] == [
        "  --> g.csl:9:1",
        "   |",
        " 9 | nine",
        "   | ^^^^",
        "10 | ten",
        "   | ---",
        "   = note: n",
        "           more",
    ]


def test_marks_of_a_part_of_a_long_line():
    """A mark before or behind the part that is shown stands at its edge."""
    file = SourceFile("f.csl", "S" + "a" * 999 + "HERE" + "b" * 995 + "E")
    assert len(file.text) == 2000
    d = Diagnostic("MS0103", "m", at(file, "HERE"), labels=[Label(at(file, "S"), "s"), Label(at(file, "E", 1), "e")])
    d.labels[1].span = Span(file, 1999, 2000)
    lines = to_text(d).splitlines()
    assert lines[3] == "1 | ... " + "a" * 60 + "HERE" + "b" * 176 + " ..." and lines[4] == "  | " + " " * 64 + "^^^^"
    assert lines[5] == "  | - s" and lines[6].endswith("- e") and len(lines[6]) <= len(lines[3]) + 3
    exact = SourceFile("f.csl", "x" * 240)
    assert to_text(Diagnostic("MS0103", "m", at(exact, "x"))).splitlines()[3] == "1 | " + "x" * 240
    more = SourceFile("f.csl", "x" * 241)
    assert to_text(Diagnostic("MS0103", "m", Span(more, 61, 62))).splitlines()[3:] == [
        "1 | ... " + "x" * 240,
        "  | " + " " * 64 + "^",
    ]
    assert to_text(Diagnostic("MS0103", "m", Span(more, 60, 61))).splitlines()[3] == "1 | " + "x" * 240 + " ..."


def test_what_a_terminal_would_not_print():
    """A control character takes one column, as its sign does; a tab takes four; a combining character none."""
    file = SourceFile("f.csl", "\x07a\tb e\N{COMBINING ACUTE ACCENT}c")
    for text, before in (("a", 1), ("b", 6), ("c", 9)):
        lines = to_text(Diagnostic("MS0103", "m", at(file, text))).splitlines()
        assert lines[3] == "1 | \N{REPLACEMENT CHARACTER}a    b e\N{COMBINING ACUTE ACCENT}c"
        assert lines[4] == "  | " + " " * before + "^"


def test_of_a_list_that_is_printed_warnings_are_summed_up(capsys):
    warnings = [Diagnostic("MS1010", str(i), severity="warning") for i in range(5)]
    render_text(warnings, most=3)
    assert capsys.readouterr().err.count("warning[MS1010]") == 4
    render_text(warnings)
    assert capsys.readouterr().err.count("warning[MS1010]") == 5
    assert [d.message for d in summed_up(warnings)] == ["0", "1", "2", "2 more warnings of this kind"]


def test_of_a_long_line_the_part_at_the_mark_is_shown():
    long = SourceFile("long.csl", "a" * 1000 + "HERE" + "b" * 1000 + "\n" + "c" * 500 + "END")
    middle = to_text(Diagnostic("MS0103", "m", at(long, "HERE"))).splitlines()
    assert middle[3] == "1 | ... " + "a" * 60 + "HERE" + "b" * 176 + " ..."
    assert middle[4] == "  | " + " " * 64 + "^^^^"
    end = to_text(Diagnostic("MS0103", "m", at(long, "END"))).splitlines()
    assert end[3] == "2 | ... " + "c" * 237 + "END" and end[4] == "  | " + " " * 241 + "^^^"
    whole = to_text(Diagnostic("MS0103", "m", at(long, "a" * 1000 + "HERE"))).splitlines()
    assert whole[3] == "1 | " + "a" * 240 + " ..." and len(whole[4]) == 4 + 244


def test_wide_characters_and_no_span():
    assert to_text(Diagnostic("MS0106", "m", at(A, "z"))).splitlines()[-2:] == ["5 | // é 漢字 z", "  |           ^"]
    assert (
        to_text(Diagnostic("MS0901", "cannot read", help="a\nb"))
        == "error[MS0901]: cannot read\n = help: a\n         b"
    )
    end = Span(A, len(A.text), len(A.text))
    assert to_text(Diagnostic("MS0103", "end", end)).endswith("8 | last\n  |     ^")


def test_two_are_separated_by_a_blank_line():
    d = Diagnostic("MS0901", "m")
    assert to_text([d, d]) == "error[MS0901]: m\n\nerror[MS0901]: m"


def test_console_gets_the_same_text():
    from rich.console import Console

    d = Diagnostic("MS0301", "[bold]not markup[/bold] " + "long " * 40, at(A, "x = 1"), help="h")
    plain, coloured = io.StringIO(), io.StringIO()
    render_text([d], Console(file=plain, width=60))
    assert "\n".join(line.rstrip() for line in plain.getvalue().splitlines()) == to_text([d])
    render_text([d], Console(file=coloured, width=60, force_terminal=True, color_system="standard"))
    assert "\x1b[" in coloured.getvalue()


def test_default_is_standard_error(capsys):
    render_text([Diagnostic("MS0901", "m")])
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "error[MS0901]: m\n")


def test_json():
    d = Diagnostic("MS0401", "m", at(A, "y: i16"), labels=[Label(at(B, "n"), "t")], notes=["n"], help="h")
    assert to_json([d]) == [
        {
            "code": "MS0401",
            "severity": "error",
            "message": "m",
            "span": {"path": "a.csl", "start": 18, "end": 24, "line": 2, "column": 6, "end_line": 2, "end_column": 12},
            "labels": [
                {
                    "span": {
                        "path": "dir/b.csl",
                        "start": 6,
                        "end": 7,
                        "line": 1,
                        "column": 7,
                        "end_line": 1,
                        "end_column": 8,
                    },
                    "text": "t",
                }
            ],
            "notes": ["n"],
            "help": "h",
        }
    ]
    assert to_json(Diagnostic("MS0901", "m"))[0]["span"] is None


def test_warnings_of_a_kind_are_summed_up():
    """Errors are all there; of the warnings of a code the first few, and at the end how many more there were."""

    def found(code, severity, *texts):
        return [Diagnostic(code, text, severity=severity) for text in texts]

    errors = found("MS0301", "error", *"abcde")
    many, few = found("MS1010", "warning", *"abcd"), found("MS1011", "warning", *"xy")
    out = summed_up([*many[:2], *errors, *few, *many[2:]], most=2)
    assert out[:-1] == [*many[:2], *errors, *few]
    assert (out[-1].code, out[-1].severity, out[-1].message) == ("MS1010", "warning", "2 more warnings of this kind")
    assert summed_up(many, most=3)[-1].message == "1 more warning of this kind"
    assert summed_up(many, most=4) == many
