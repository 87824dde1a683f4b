"""What the language server answers, asked without a client: names, places, values, edits, each with its exact value."""

from __future__ import annotations

import asyncio
import os

import pytest

from meshlang.diag import Diagnostic
from meshlang.inspect.language import answers
from meshlang.inspect.language.index import Index, Member, Symbol
from meshlang.inspect.language.workspace import MOST_FILES, MOST_VALUES, Workspace
from meshlang.syntax.parser import parse
from meshlang.syntax.source import SourceFile, Span

LAYOUT = """\
param size: u16 = 4;
const twice = 2 * size;
const shown = 8;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0), .n = twice });
  @export_name("main", fn() void);
}
"""
PE = """\
param memcpy_params;
param n: u16; // elements
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const lib = @import_module("lib.csl", .{ .T = f32 });
var x = @zeros([n]f32);
const all = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{n} -> x[i] });

// Doubles x,
// in place.
fn main() void { // by one
  @fmuls(all, all, lib.two);
  for (@range(u16, n)) |i| { x[i] += lib.one(); }
  const one: f32 = 1.0;
  x[0] += one;
  sys.unblock_cmd_stream();
}
fn other(a: f32, comptime b: f32) f32 { const one = a; return one + b; }

comptime { @export_symbol(main); @export_symbol(x, "data"); }
"""
LIB = """\
param T: type;
const two: T = 2.0;
// One, as T.
fn one() T { return 1.0; }
"""


@pytest.fixture
def folder(tmp_path):
    for name, text in (("layout.csl", LAYOUT), ("pe.csl", PE), ("lib.csl", LIB)):
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def workspace(folder):
    return Workspace([str(folder)])


def words(places, folder):
    """Places as (file, line, what stands there)."""
    out = []
    for path, start, end in places:
        text = open(path, encoding="utf-8").read()
        out.append((os.path.relpath(path, folder), text.count("\n", 0, start) + 1, text[start:end]))
    return out


def test_a_name_is_found_at_its_ends_and_not_beside_it(folder):
    file = SourceFile("a.csl", "const ab = 1; const c = ab + lib.de; const lib = 2;")
    index = Index(file, parse(file))

    def name(offset):
        found = index.at(offset)
        return found and (found.name, type(found).__name__)

    assert [name(o) for o in range(4, 11)] == [None, None, *[("ab", "Symbol")] * 3, None, None]
    use = file.text.index("ab + ")
    assert [name(use + i) for i in range(-1, 4)] == [None, *[("ab", "Symbol")] * 3, None]
    member = file.text.index("de;")
    assert [name(member + i) for i in range(3)] == [("de", "Member")] * 3 and name(member - 1) == ("lib", "Symbol")
    symbol = index.at(6)
    assert isinstance(symbol, Symbol) and symbol.places == [(6, 8), (use, use + 2)]
    assert symbol.whole == (0, 12) and (symbol.start, symbol.end, symbol.is_global) == (6, 8, True)
    assert isinstance(index.at(member), Member)


def test_imports_and_builtins_are_found_between_their_ends():
    file = SourceFile("a.csl", 'const m = @import_module("m.csl", .{ .k = 1 });')
    index = Index(file, parse(file))
    start = file.text.index("m.csl")
    (imported,) = index.imports
    assert (imported.path, imported.start, imported.end) == ("m.csl", start, start + 5)
    assert imported.symbol is index.globals["m"] and imported.given is not None
    assert [index.import_at(start + i) is imported for i in (-1, 0, 5, 6)] == [False, True, True, False]
    (builtin,) = index.builtins
    assert builtin[0] == "import_module"
    assert [index.builtin_at(o) for o in (builtin[1] - 1, builtin[1], builtin[2], builtin[2] + 1)] == [
        None,
        "import_module",
        "import_module",
        None,
    ]


def test_what_is_visible(workspace, folder):
    """Globals everywhere; arguments and what a loop captures in it; locals behind their declaration up to the block's end;
    the inner of two of a name hides the outer."""
    path = str(folder / "pe.csl")
    index = workspace.index(path)
    everywhere = ["memcpy_params", "n", "sys", "lib", "x", "all", "main", "other"]

    def local(text, inside=0):
        return {s.name for s in index.visible(PE.index(text) + inside)} - set(everywhere)

    assert [s.name for s in index.symbols if s.is_global] == everywhere and list(index.globals) == everywhere
    assert local("x[i] +=") == {"i"} and local("x[0]") == {"one"} and local("@fmuls") == set()
    assert local("sys.unblock") == {"one"} and local("fn other") == {"a", "b"}
    assert local("return one") == {"a", "b", "one"} and local("\ncomptime {") == set()
    assert {s.name: s.kind for s in index.symbols} == {
        "memcpy_params": "param",
        "n": "param",
        "sys": "const",
        "lib": "const",
        "x": "var",
        "all": "const",
        "i": "capture",
        "main": "fn",
        "one": "const",
        "other": "fn",
        "a": "argument",
        "b": "argument",
    }
    assert index.exported == {index.globals["main"]: (PE.index("main);"), PE.index("main);") + 4)}
    assert not index.has_layout and workspace.index(str(folder / "layout.csl")).has_layout


def test_places_that_mean_the_same(workspace, folder):
    def references(name, text, inside=0):
        path = folder / name
        offset = path.read_text().index(text) + inside
        return words(answers.references(workspace, str(path), offset), folder)

    assert references("lib.csl", "two") == [("lib.csl", 2, "two"), ("pe.csl", 11, "two")]
    assert references("pe.csl", "lib.one()", 4) == [("lib.csl", 4, "one"), ("pe.csl", 12, "one")]
    assert references("pe.csl", "n: u16") == [
        *[("pe.csl", line, "n") for line in (2, 5, 6, 12)],
        ("layout.csl", 7, "n"),
    ]
    assert references("pe.csl", "const one: ", 6) == [("pe.csl", 13, "one"), ("pe.csl", 14, "one")]
    assert references("pe.csl", "const one = ", 6) == [("pe.csl", 17, "one"), ("pe.csl", 17, "one")]
    assert references("lib.csl", "T: type") == [
        ("lib.csl", 1, "T"),
        ("lib.csl", 2, "T"),
        ("lib.csl", 4, "T"),
        ("pe.csl", 4, "T"),
    ]
    assert references("pe.csl", "// Doubles") == []


def test_where_a_name_is_declared(workspace, folder):
    def definition(name, text, inside=0):
        path = folder / name
        place = answers.definition(workspace, str(path), path.read_text().index(text) + inside)
        return place and words([place], folder)[0]

    assert definition("pe.csl", "lib.two", 4) == ("lib.csl", 2, "two")
    assert definition("pe.csl", "lib.two", 1) == ("pe.csl", 4, "lib")
    assert definition("pe.csl", '"lib.csl"', 1) == ("lib.csl", 1, "")
    assert definition("layout.csl", '"pe.csl"', 3) == ("pe.csl", 1, "")
    assert definition("pe.csl", "+= one", 3) == ("pe.csl", 13, "one")
    assert definition("pe.csl", "x, ", 1) is not None and definition("pe.csl", "// Doubles", 3) is None
    (folder / "gone.csl").write_text('const m = @import_module("nowhere.csl");')
    assert definition("gone.csl", "nowhere", 2) is None


def test_hover(workspace, folder):
    path = str(folder / "pe.csl")
    workspace.check(path)

    def hover(text, inside=0):
        found = answers.hover(workspace, path, PE.index(text) + inside)
        return found and (found[0], PE[found[1] : found[2]])

    assert hover("n: u16", 0) == ("```csl\nparam n: u16\n```\n\nelements\n\ncompiled: `u16: 8`", "n")
    assert hover("fn main", 3) == (
        "```csl\nfn main() void\n```\n\nDoubles x,\nin place.\nby one",
        "main",
    )
    assert hover("lib.one", 4) == ("```csl\nfn one() T\n```\n\nOne, as T.", "one")
    assert hover("x = @zeros") == ("```csl\nvar x = @zeros([n]f32)\n```\n\ncompiled: `[8]f32`", "x")
    assert hover("|i| {", 1) == ("```csl\ni: loop variable\n```", "i")
    assert hover("|i|{n}", 1) == ("```csl\ni: index of a tensor access\n```", "i")
    assert hover("+= one", 3) == ("```csl\nconst one: f32 = 1.0\n```", "one")
    text, marked = hover("@fmuls", 2)
    assert marked == "@fmuls" and text.endswith(
        "Timing: wse2 1 element a cycle at most; wse3 1 element a cycle at most (docs/timing.md)."
    )
    assert "elements a cycle" in answers.builtin_text("fadds") or "element a cycle" in answers.builtin_text("fadds")
    assert "Timing" not in answers.builtin_text("zeros") and answers.builtin_text("no_such") is None
    assert "Can be used" in answers.builtin_text("set_rectangle") and "On wse2 only." not in answers.builtin_text(
        "zeros"
    )
    assert hover("// Doubles") is None


def test_a_declaration_is_cut_at_160_characters():
    for more, cut in ((0, False), (1, True)):
        text = "const a = " + "1" * (150 + more)
        workspace = Workspace()
        workspace.texts["/a.csl"] = text + ";"
        shown = answers.describe(workspace, "/a.csl", workspace.index("/a.csl").globals["a"])
        assert shown == f"```csl\n{text[:157] + '...' if cut else text}\n```" and len(text) == 160 + more


def test_three_values_are_shown_and_then_dots():
    workspace = Workspace()
    workspace.texts["/a.csl"] = "param k: i16;"
    symbol = workspace.index("/a.csl").globals["k"]
    for most, end in ((3, "`i16: 2`"), (4, "`i16: 2`, ...")):
        for value in range(most):
            workspace.compiled[str(value)] = answers_of(str(value), {("/a.csl", "k"): [f"i16: {value}"]})
        assert answers.describe(workspace, "/a.csl", symbol).endswith("compiled: `i16: 0`, `i16: 1`, " + end)
    assert workspace.values("/a.csl", "k") == [f"i16: {v}" for v in range(4)]


def answers_of(layout, values):
    from meshlang.inspect.language.workspace import Compiled

    return Compiled(layout, values=values)


def test_only_so_many_values_are_kept(tmp_path):
    """Of a name with other values on every PE the first few different ones."""
    n = MOST_VALUES + 3
    (tmp_path / "layout.csl").write_text(
        f"layout {{ @set_rectangle({n}, 1); "
        f'for (@range(i16, {n})) |x| {{ @set_tile_code(x, 0, "pe.csl", .{{ .k = x, .same = 1 }}); }} }}\n'
    )
    (tmp_path / "pe.csl").write_text("param k: i16; param same: i16;\ncomptime { @comptime_assert(k + same > 0); }\n")
    workspace = Workspace([str(tmp_path)])
    pe = str(tmp_path / "pe.csl")
    workspace.check(pe)
    assert workspace.values(pe, "k") == [f"i16: {v}" for v in range(MOST_VALUES + 1)]
    assert answers.hints(workspace, pe) == [(len("param k: i16; param same: i16"), " = 1")]


def test_completion(workspace, folder):
    path = str(folder / "pe.csl")

    def proposed(before, name="pe.csl"):
        """What may follow a text that is typed at the end of a file."""
        where = str(folder / name)
        text = (folder / name).read_text()
        workspace.index(where)
        workspace.texts[where] = text + "\n" + before
        try:
            return {p.label: p for p in answers.completion(workspace, where, len(text) + 1 + len(before))}
        finally:
            del workspace.texts[where]

    assert set(proposed("lib.")) == {"two", "one"} and set(proposed("lib.on")) == {"two", "one"}
    assert proposed("nothing.") == {} and proposed("x.") == {}
    one = proposed("lib.")["one"]
    assert (one.kind, one.detail, one.doc) == ("fn", "fn one() T", "One, as T.")
    builtins = proposed("@")
    assert builtins["@fmuls"].detail.startswith("(") and builtins["@fmuls"].kind == "builtin"
    assert set(proposed("@fm")) == set(builtins) and all(label[0] == "@" for label in builtins)
    assert proposed('const m = @import_module("<')["<math>"].kind == "file"
    assert set(proposed('const m = @import_module("')) == {"lib.csl", "layout.csl"}
    assert proposed("// lib.") == {} and set(proposed('"//" ++ lib.')) == {"two", "one"}
    names = proposed("")
    assert names["x"].kind == "var" and names["u16"].kind == "type" and names["for"].kind == "keyword"
    assert "layout" in names and names["main"].kind == "fn" and "i" not in names
    given = LAYOUT.index(".n = twice") + 1
    assert [p.label for p in answers.completion(workspace, str(folder / "layout.csl"), given)] == ["memcpy_params", "n"]
    workspace.texts[path] = "const broken = ("  # the file as it was when it could be read last
    assert workspace.index(path).globals.keys() >= {"x", "main"}


def test_semantic_tokens(workspace, folder):
    """Every token once, in order; names by what they are, uses without `declaration`."""
    path = str(folder / "lib.csl")
    found = [(LIB[a : a + n], kind, mods) for a, n, kind, mods in answers.semantic_tokens(workspace, path)]
    assert found == [
        ("param", "keyword", ()),
        ("T", "parameter", ("declaration", "readonly")),
        ("type", "type", ()),
        ("const", "keyword", ()),
        ("two", "variable", ("declaration", "readonly")),
        ("T", "parameter", ("readonly",)),
        ("2.0", "number", ()),
        ("fn", "keyword", ()),
        ("one", "function", ("declaration",)),
        ("T", "parameter", ("readonly",)),
        ("return", "keyword", ()),
        ("1.0", "number", ()),
    ]
    path = str(folder / "pe.csl")
    kinds = {(PE[a : a + n], kind) for a, n, kind, _ in answers.semantic_tokens(workspace, path)}
    assert {
        ("lib", "namespace"),
        ("sys", "namespace"),
        ("@fmuls", "macro"),
        ("two", "property"),
        ("T", "property"),
        ('"lib.csl"', "string"),
        ("all", "variable"),
        ("i", "variable"),
        ("a", "parameter"),
    } <= kinds
    workspace.texts[path] = PE + "("
    assert answers.semantic_tokens(workspace, path) == []  # places of another text


def test_hints(workspace, folder):
    """The value where it does not stand there, of params and constants."""
    layout, pe = str(folder / "layout.csl"), str(folder / "pe.csl")
    workspace.check(pe)
    at = LAYOUT.index("size;") + len("size")
    assert answers.hints(workspace, layout) == [(at, " -> 8")]  # neither `size = 4` nor `shown = 8`
    assert [text for _, text in answers.hints(workspace, pe)] == [" = 8"]
    (place, _), *_ = answers.hints(workspace, pe)
    assert PE[:place].endswith("param n: u16")


def found(code, text, marked, message="m", help=None):
    file = SourceFile("a.csl", text)
    start = text.index(marked)
    return Diagnostic(code, message, Span(file, start, start + len(marked)), help=help)


@pytest.mark.parametrize(
    ("diagnostic", "title", "fixed"),
    [
        (found("MS0101", "const a = 1", ""), "add `;`", ";const a = 1"),
        (found("MS0101", "a = 1 b", "b"), "add `;`", "a = 1 ;b"),
        (
            found("MS0201", "a = lenght + 1", "lenght", "there is no 'lenght'", "did you mean 'length'?"),
            "replace it with length",
            "a = length + 1",
        ),
        (
            found("MS0201", "a = @fmul(x)", "@fmul(x)", "there is no builtin '@fmul'", "did you mean '@fmuls'?"),
            "replace it with fmuls",
            "a = @fmuls(x)",
        ),
        (
            found("MS0215", 'm("<mth>")', '"<mth>"', "there is no library <mth>", "did you mean <math>?"),
            "replace it with math",
            'm("<math>")',
        ),
        (
            found("MS0301", "x = i;", "i", "m", "convert it with @as(f32, value)"),
            "convert it to f32",
            "x = @as(f32, i);",
        ),
        (found("MS0114", "a && b", "&&", "m", "write `and`"), "write and", "a and b"),
    ],
)
def test_a_fix_is_what_the_help_says(diagnostic, title, fixed):
    name, start, end, text = answers.fix(diagnostic)
    source = diagnostic.span.file.text
    assert (name, source[:start] + text + source[end:]) == (title, fixed)


@pytest.mark.parametrize(
    "diagnostic",
    [
        Diagnostic("MS0101", "no place"),
        found("MS0201", "a = b", "b"),  # no help
        found("MS0201", "a = b", "b", "no name in it", "did you mean 'c'?"),
        found("MS0201", "a = b", "b", "there is no 'other'", "did you mean 'c'?"),  # not what is marked
        found("MS0301", "x = ;", "", "m", "convert it with @as(f32, value)"),
        found("MS0114", "a && b", "&&", "m", "write `@as(T, value)`"),  # a form, not the text
        found("MS0301", "a && b", "&&", "m", "write `and`"),  # of this code it may be about more than what is marked
        found("MS0114", "a ", "", "m", "write `and`"),
    ],
)
def test_what_is_no_mechanical_edit_is_no_fix(diagnostic):
    assert answers.fix(diagnostic) is None


def test_a_rename_that_cannot_be(workspace, folder):
    pe = str(folder / "pe.csl")

    def refused(text, inside, new, path=pe):
        source = open(path, encoding="utf-8").read()
        with pytest.raises(answers.Refused) as error:
            answers.rename(workspace, path, source.index(text) + inside, new)
        return str(error.value)

    assert refused("// Doubles", 0, "y") == "only names that are declared in a file can be renamed"
    assert refused("x = ", 0, "for") == "'for' is no name" and refused("x = ", 0, "2x") == "'2x' is no name"
    assert refused("x = ", 0, "one") == "'one' is taken in this file"  # a local somewhere
    assert refused("const one: ", 6, "x") == "'x' is taken in this file"
    assert refused("sys.unblock", 5, "y") == "'unblock_cmd_stream' belongs to a library of MeshLang"
    # a local of another function is no obstacle
    assert answers.rename(workspace, pe, PE.index("const one: ") + 6, "a") == {
        pe: [
            (PE.index("one: f32"), PE.index("one: f32") + 3, "a"),
            (PE.index("one;\n  sys"), PE.index("one;\n  sys") + 3, "a"),
        ]
    }
    (folder / "layout.csl").write_text(
        LAYOUT.replace(".{ .memcpy_params", "given").replace(" = memcpy.get_params(0), .n = twice }", "")
    )
    assert refused("n: u16", 0, "m").startswith(f"{folder / 'layout.csl'} hands over params in a struct")


def test_params_of_joined_structs_are_renamed(workspace, folder):
    joined = LAYOUT.replace(
        ".{ .memcpy_params = memcpy.get_params(0), .n = twice }",
        "@concat_structs(.{ .memcpy_params = memcpy.get_params(0) }, .{ .n = twice })",
    )
    (folder / "layout.csl").write_text(joined)
    edits = answers.rename(workspace, str(folder / "pe.csl"), PE.index("n: u16"), "m")
    at = joined.index(".n = ") + 1
    assert edits[str(folder / "layout.csl")] == [(at, at + 1, "m")] and len(edits[str(folder / "pe.csl")]) == 4


def test_an_exported_function_keeps_its_name_outside(workspace, folder):
    pe = str(folder / "pe.csl")
    edits = answers.rename(workspace, pe, PE.index("main()"), "start")[pe]
    assert [text for _, _, text in edits] == ["start", 'start, "main"']
    edits = answers.rename(workspace, pe, PE.index("x = @zeros"), "y")[pe]
    assert {text for _, _, text in edits} == {"y"} and len(edits) == 5  # it is exported under another name


def test_files_of_a_workspace(tmp_path):
    """Not those in hidden folders and environments; those that are open, wherever they are; anew when files came or went."""
    for name in ("a.csl", "b/c.csl", ".git/d.csl", "node_modules/e.csl", "venv/f.csl", "g.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("const k = 1;")
    workspace = Workspace([str(tmp_path)])

    def listed():
        return [os.path.relpath(f, tmp_path) for f in workspace.files()]

    assert listed() == ["a.csl", "b/c.csl"]
    (tmp_path / "new.csl").write_text("")
    workspace.texts[str(tmp_path / "open.csl")] = ""
    assert listed() == ["a.csl", "b/c.csl", "open.csl"]
    workspace.forget()
    assert listed() == ["a.csl", "b/c.csl", "new.csl", "open.csl"]
    (tmp_path / "many").mkdir()
    for i in range(MOST_FILES):
        (tmp_path / "many" / f"{i}.csl").touch()
    workspace.forget()
    assert len(workspace.files()) == MOST_FILES + 1  # and the open one


def test_the_programs_of_a_file(workspace, folder):
    layout, pe, lib = (str(folder / name) for name in ("layout.csl", "pe.csl", "lib.csl"))
    assert [workspace.layouts(path) for path in (lib, pe, layout)] == [[layout]] * 3
    assert [(other, imported.path) for other, _, imported in workspace.importers(lib)] == [(pe, "lib.csl")]
    (folder / "second.csl").write_text(LAYOUT)
    workspace.forget()
    assert workspace.layouts(lib) == [layout, str(folder / "second.csl")]
    (folder / "alone.csl").write_text("const k: i16 = 1.5;")
    alone = str(folder / "alone.csl")
    assert workspace.layouts(alone) == [] and workspace.check(alone) == {alone: []}
    # one mistake, in two programs, is said once; one in the syntax without compiling
    (folder / "lib.csl").write_text(LIB.replace("2.0", "true"))
    assert [d.code for d in workspace.check(lib)[lib]] == ["MS0301"]
    (folder / "lib.csl").write_text(LIB + "(")
    compiled = dict(workspace.compiled)
    assert [d.code for d in workspace.check(lib)[lib]] == ["MS0123"] and workspace.compiled == compiled


# ---------------------------------------------------------------- the server around them


@pytest.fixture
def server(folder):
    pytest.importorskip("pygls")
    lsp = pytest.importorskip("lsprotocol.types")
    from meshlang.inspect.language import server as module

    server = module.make()
    server.sent = []
    server.text_document_publish_diagnostics = lambda params: server.sent.append(params)
    server.asked = lambda name, *params: server.protocol.fm.features[name](*params)
    server.asked("initialize", lsp.InitializeParams(lsp.ClientCapabilities(), root_uri=folder.as_uri()))
    return server


def test_columns_are_counted_in_utf_16(server):
    """A character outside of the first 65,536 takes two columns; a place beyond the end of a line or file is its end."""
    lsp = pytest.importorskip("lsprotocol.types")
    from meshlang.inspect.language.server import to_offset, to_position

    file = SourceFile("a.csl", "ab\n\N{MATHEMATICAL BOLD SMALL A}\N{GREEK SMALL LETTER ALPHA}c\n")
    places = [(0, (0, 0)), (2, (0, 2)), (3, (1, 0)), (4, (1, 2)), (5, (1, 3)), (6, (1, 4)), (7, (2, 0))]
    for offset, (line, column) in places:
        assert to_position(file, offset) == lsp.Position(line, column)
        assert to_offset(file, lsp.Position(line, column)) == offset
    assert to_position(file, 99) == lsp.Position(2, 0)
    assert to_offset(file, lsp.Position(0, 9)) == 2 and to_offset(file, lsp.Position(2, 5)) == 7
    assert to_offset(file, lsp.Position(3, 0)) == to_offset(file, lsp.Position(9, 9)) == 7


def test_what_is_wrong_is_taken_back(server, folder):
    """Diagnostics of a file that has none any more are replaced by an empty list; their words are message, notes and help."""
    lsp = pytest.importorskip("lsprotocol.types")
    pe, lib = str(folder / "pe.csl"), str(folder / "lib.csl")
    bad = Diagnostic(
        "MS0301",
        "m",
        Span(SourceFile(lib, LIB), LIB.index("two"), LIB.index("two") + 3),
        labels=[],
        notes=["n"],
        help="h",
    )
    server.publish(pe, {pe: [], lib: [bad]})
    first, second = server.sent
    assert first.diagnostics == [] and (first.uri, second.uri) == (
        (folder / "pe.csl").as_uri(),
        (folder / "lib.csl").as_uri(),
    )
    (shown,) = second.diagnostics
    assert (shown.message, shown.code, shown.severity) == ("m\nn\nhelp: h", "MS0301", lsp.DiagnosticSeverity.Error)
    assert shown.range == lsp.Range(lsp.Position(1, 6), lsp.Position(1, 9)) and shown.related_information is None
    server.sent.clear()
    server.publish(pe, {pe: []})
    assert [(s.uri, s.diagnostics) for s in server.sent] == [(first.uri, []), (second.uri, [])] or [
        (s.uri, s.diagnostics) for s in server.sent
    ] == [(second.uri, []), (first.uri, [])]
    server.sent.clear()
    server.publish(pe, {pe: [Diagnostic("MS0901", "no place")]})
    assert server.sent[0].diagnostics[0].range == lsp.Range(lsp.Position(0, 0), lsp.Position(0, 0))


def test_a_slow_program_is_compiled_when_it_is_saved(server, folder, monkeypatch):
    """After a pause its syntax is checked; a quick program is compiled."""
    from meshlang.inspect.language import server as module

    monkeypatch.setattr(module, "PAUSE", 0)
    pe = str(folder / "pe.csl")
    (folder / "pe.csl").write_text(PE.replace("f32 = 1.0", "f32 = true"))
    server.seconds = module.SLOW
    asyncio.run(server._after(pe))
    assert "MS0301" in [d.code for d in server.sent[-1].diagnostics]
    server.sent.clear()
    server.seconds = module.SLOW + 0.1
    asyncio.run(server._after(pe))
    assert [s.diagnostics for s in server.sent] == [[]]


def test_later_replaces_what_waits(server, folder, monkeypatch):
    checked = []
    monkeypatch.setattr(server, "check", checked.append)
    monkeypatch.setattr("meshlang.inspect.language.server.PAUSE", 0.01)

    async def typing():
        for _ in range(3):
            server.later("a")
        server.later("b")
        await asyncio.sleep(0.1)

    asyncio.run(typing())
    assert checked == ["a", "b"]


def test_actions_where_the_cursor_is(server, folder):
    lsp = pytest.importorskip("lsprotocol.types")
    pe = str(folder / "pe.csl")
    server.found[pe] = [
        found("MS0301", PE, "one;\n  sys"[:3] + ";\n  sys", "no fix"),
        Diagnostic(
            "MS0301",
            "m",
            Span(SourceFile(pe, PE), PE.index("one;\n  sys"), PE.index("one;\n  sys") + 3),
            help="convert it with @as(f32, value)",
        ),
    ]
    line = PE[: PE.index("one;\n  sys")].count("\n")

    def titles(first, last):
        found = server.asked(
            "textDocument/codeAction",
            lsp.CodeActionParams(
                lsp.TextDocumentIdentifier((folder / "pe.csl").as_uri()),
                lsp.Range(lsp.Position(line, first), lsp.Position(line, last)),
                lsp.CodeActionContext([]),
            ),
        )
        return [a.title for a in found]

    at = len("  x[0] += ")
    fix = ["convert it to f32"]
    assert titles(at, at + 3) == titles(at + 3, at + 3) == titles(at, at) == titles(0, at) == fix
    assert titles(0, at - 1) == titles(at + 4, at + 4) == []


def test_references_without_the_declaration(server, folder):
    lsp = pytest.importorskip("lsprotocol.types")
    doc = lsp.TextDocumentIdentifier((folder / "lib.csl").as_uri())
    at = {"text_document": doc, "position": lsp.Position(1, 7)}
    for included, lines in ((True, [("lib.csl", 1), ("pe.csl", 10)]), (False, [("pe.csl", 10)])):
        places = server.asked(
            "textDocument/references", lsp.ReferenceParams(context=lsp.ReferenceContext(included), **at)
        )
        assert [(os.path.basename(p.uri), p.range.start.line) for p in places] == lines
    marked = server.asked("textDocument/documentHighlight", lsp.DocumentHighlightParams(**at))
    assert [h.range.start.line for h in marked] == [1]


def test_completion_replaces_the_sign_and_what_follows(server, folder):
    lsp = pytest.importorskip("lsprotocol.types")
    pe = str(folder / "pe.csl")
    server.sources.texts[pe] = PE + '@fm\nconst m = @import_module("<mat'

    def edit(line, label):
        text = server.sources.texts[pe].split("\n")
        items = server.asked(
            "textDocument/completion",
            lsp.CompletionParams(
                lsp.TextDocumentIdentifier((folder / "pe.csl").as_uri()), lsp.Position(line, len(text[line]))
            ),
        )
        (item,) = [i for i in items if i.label == label]
        return item.text_edit.new_text, item.text_edit.range.start.character, item.text_edit.range.end.character

    line = PE.count("\n")
    assert edit(line, "@fmuls") == ("@fmuls", 0, 3)
    assert edit(line + 1, "<math>") == ("<math>", 26, 30)


def test_outline_and_colors_of_words(server, folder):
    lsp = pytest.importorskip("lsprotocol.types")
    doc = lsp.TextDocumentIdentifier((folder / "lib.csl").as_uri())
    outline = server.asked("textDocument/documentSymbol", lsp.DocumentSymbolParams(doc))
    assert [(s.name, s.detail, s.range.start.line, s.selection_range.start.character) for s in outline] == [
        ("T", "param", 0, 6),
        ("two", "const", 1, 6),
        ("one", "fn", 3, 3),
    ]
    data = server.asked("textDocument/semanticTokens/full", lsp.SemanticTokensParams(doc)).data
    kinds = {name: i for i, name in enumerate(answers.TOKEN_TYPES)}
    # lines and columns count from the token before; bit 0 says declaration, bit 1 readonly
    assert data[:25] == [
        *(0, 0, 5, kinds["keyword"], 0),
        *(0, 6, 1, kinds["parameter"], 3),
        *(0, 3, 4, kinds["type"], 0),
        *(1, 0, 5, kinds["keyword"], 0),
        *(0, 6, 3, kinds["variable"], 3),
    ]


def test_formatting_is_one_edit_or_none(server, folder):
    lsp = pytest.importorskip("lsprotocol.types")
    doc = lsp.TextDocumentIdentifier((folder / "lib.csl").as_uri())
    params = lsp.DocumentFormattingParams(doc, lsp.FormattingOptions(2, True))
    assert server.asked("textDocument/formatting", params) == []
    (folder / "lib.csl").write_text(LIB.replace("two: T", "two :T"))
    (edit,) = server.asked("textDocument/formatting", params)
    assert edit.new_text == LIB and (edit.range.start, edit.range.end.line) == (lsp.Position(0, 0), 4)
    (folder / "lib.csl").write_text(LIB + "(")
    assert server.asked("textDocument/formatting", params) == []


def test_options_of_a_workspace(folder):
    """Folders of the editor, else the root; of its options those that are known and say something."""
    pytest.importorskip("pygls")
    lsp = pytest.importorskip("lsprotocol.types")
    from meshlang.inspect.language.server import make

    def made(**given):
        server = make()
        server.protocol.fm.features["initialize"](lsp.InitializeParams(lsp.ClientCapabilities(), **given))
        return server.sources.roots, server.sources.options

    uri = folder.as_uri()
    assert made(root_uri=uri) == ([str(folder)], {})
    below = lsp.WorkspaceFolder((folder / "below").as_uri(), "below")
    assert made(root_uri=uri, workspace_folders=[below]) == ([str(folder / "below")], {})
    assert made(initialization_options={"arch": "wse2", "params": {}, "other": 1}) == ([], {"arch": "wse2"})
    assert made(initialization_options="wse2") == ([], {})
