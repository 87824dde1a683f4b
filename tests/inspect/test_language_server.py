"""The language server, asked by a client over its pipes as an editor asks it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

pytest.importorskip("pygls")
lsp = pytest.importorskip("lsprotocol.types")
from pygls.lsp.client import LanguageClient  # noqa: E402

LAYOUT = """\
param size: u16 = 4;
const twice = 2 * size;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0), .n = twice });
  @export_name("main", fn() void);
}
"""
PE = """\
param memcpy_params;
param n: u16;   // elements
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const lib = @import_module("lib.csl", .{ .T = f32 });

var x = @zeros([n]f32);
const all = @get_dsd(mem1d_dsd, .{ .tensor_access = |i|{n} -> x[i] });

// Doubles x.
fn main() void {
  @fmuls(all, all, lib.two);
  for (@range(u16, n)) |i| { x[i] += lib.one(); }
  sys.unblock_cmd_stream();
}

comptime { @export_symbol(main); }
"""
LIB = """\
param T: type;
const two: T = 2.0;
// One, as T.
fn one() T { return 1.0; }
"""


class Editor:
    """A client with what it was told, and places by text: `pe.csl`, "lib.two", 4 is in front of `two`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.client = LanguageClient("test", "1")
        self.diagnostics: dict[str, list] = {}
        self.versions: dict[str, int] = {}

        @self.client.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def published(params):
            self.diagnostics[Path(params.uri).name] = list(params.diagnostics)

    async def start(self, **options):
        await self.client.start_io(sys.executable, "-m", "meshlang", "lsp")
        return await self.client.initialize_async(
            lsp.InitializeParams(
                lsp.ClientCapabilities(), root_uri=self.folder.as_uri(), initialization_options=options or None
            )
        )

    async def stop(self):
        await self.client.shutdown_async(None)
        self.client.exit(None)
        await asyncio.sleep(0.05)
        await self.client.stop()

    def doc(self, name):
        return lsp.TextDocumentIdentifier((self.folder / name).as_uri())

    def open(self, name):
        text = (self.folder / name).read_text(encoding="utf-8")
        self.versions[name] = 1
        self.client.text_document_did_open(
            lsp.DidOpenTextDocumentParams(lsp.TextDocumentItem(self.doc(name).uri, "csl", 1, text))
        )

    def change(self, name, text):
        self.versions[name] += 1
        self.client.text_document_did_change(
            lsp.DidChangeTextDocumentParams(
                lsp.VersionedTextDocumentIdentifier(self.versions[name], self.doc(name).uri),
                [lsp.TextDocumentContentChangeWholeDocument(text)],
            )
        )

    async def until(self, name, condition):
        for _ in range(160):
            if name in self.diagnostics and condition(self.diagnostics[name]):
                return self.diagnostics[name]
            await asyncio.sleep(0.05)
        raise AssertionError((name, self.diagnostics))

    def at(self, name, text, inside=0):
        before = (self.folder / name).read_text(encoding="utf-8")
        before = before[: before.index(text) + inside]
        return {
            "text_document": self.doc(name),
            "position": lsp.Position(before.count("\n"), len(before) - before.rfind("\n") - 1),
        }


def played(tmp_path, scene, **options):
    for name, text in {"layout.csl": LAYOUT, "pe.csl": PE, "lib.csl": LIB}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    async def whole():
        editor = Editor(tmp_path)
        capabilities = (await editor.start(**options)).capabilities
        try:
            await asyncio.wait_for(scene(editor, capabilities), 60)
        finally:
            await editor.stop()

    asyncio.run(whole())


def places(locations):
    return [(Path(p.uri).name, p.range.start.line) for p in locations]


def edited(text, edits):
    """The text with the edits of one file."""
    lines = text.split("\n")

    def offset(p):
        return sum(len(line) + 1 for line in lines[: p.line]) + p.character

    for edit in sorted(edits, key=lambda e: offset(e.range.start), reverse=True):
        text = text[: offset(edit.range.start)] + edit.new_text + text[offset(edit.range.end) :]
    return text


def test_looking_around(tmp_path):
    async def scene(editor, capabilities):
        client = editor.client
        assert capabilities.rename_provider and capabilities.semantic_tokens_provider
        editor.open("layout.csl")
        editor.open("pe.csl")
        assert await editor.until("pe.csl", lambda d: d == []) == []

        async def hover(*place):
            found = await client.text_document_hover_async(lsp.HoverParams(**editor.at(*place)))
            return found.contents.value if found is not None else None

        text = await hover("pe.csl", "@fmuls", 3)
        assert "@fmuls(" in text and "wse2 1 element a cycle" in text
        text = await hover("pe.csl", "{n}", 1)
        assert "param n: u16" in text and "elements" in text and "`u16: 8`" in text
        text = await hover("pe.csl", "lib.one", 5)
        assert "fn one() T" in text and "One, as T." in text
        assert "[8]f32" in await hover("pe.csl", "x[i] +=")
        assert await hover("pe.csl", "// Doubles", 4) is None

        async def definition(*place):
            found = await client.text_document_definition_async(lsp.DefinitionParams(**editor.at(*place)))
            return found and (Path(found.uri).name, found.range.start.line)

        assert await definition("pe.csl", "lib.two", 5) == ("lib.csl", 1)
        assert await definition("pe.csl", "x[i] +=") == ("pe.csl", 5)
        assert await definition("pe.csl", "[i] +=", 1) == ("pe.csl", 11)
        assert await definition("pe.csl", "lib.csl", 2) == ("lib.csl", 0)
        assert await definition("pe.csl", "sys.unblock", 6) == ("memcpy.csl", (await memcpy_line("unblock_cmd_stream")))
        found = await client.text_document_references_async(
            lsp.ReferenceParams(context=lsp.ReferenceContext(True), **editor.at("pe.csl", "param n", 6))
        )
        assert places(found) == [("pe.csl", line) for line in (1, 5, 6, 11)] + [("layout.csl", 5)]

        async def labels(*place):
            found = await client.text_document_completion_async(lsp.CompletionParams(**editor.at(*place)))
            return {item.label for item in found}

        assert {"@fmuls", "@import_module"} <= await labels("pe.csl", "@fmuls", 3)
        assert await labels("pe.csl", "lib.two", 4) == {"two", "one"}
        assert {"x", "all", "i", "u16", "for"} <= await labels("pe.csl", "x[i] +=")
        assert "<math>" in await labels("pe.csl", "<memcpy/memcpy>", 3)
        assert await labels("layout.csl", ".n = twice", 1) == {"memcpy_params", "n"}
        assert await labels("pe.csl", "// Doubles", 5) == set()

        outline = await client.text_document_document_symbol_async(lsp.DocumentSymbolParams(editor.doc("pe.csl")))
        assert [s.name for s in outline] == ["memcpy_params", "n", "sys", "lib", "x", "all", "main"]
        tokens = await client.text_document_semantic_tokens_full_async(lsp.SemanticTokensParams(editor.doc("lib.csl")))
        legend = capabilities.semantic_tokens_provider.legend.token_types
        kinds = [legend[k] for k in tokens.data[3::5]]
        assert kinds[:5] == ["keyword", "parameter", "type", "keyword", "variable"]
        assert "function" in kinds and "number" in kinds
        whole = lsp.Range(lsp.Position(0, 0), lsp.Position(99, 0))
        hints = await client.text_document_inlay_hint_async(lsp.InlayHintParams(editor.doc("layout.csl"), whole))
        assert [(h.position.line, h.label) for h in hints] == [(1, " -> 8")]
        edits = await client.text_document_formatting_async(
            lsp.DocumentFormattingParams(editor.doc("pe.csl"), lsp.FormattingOptions(2, True))
        )
        assert "param n: u16;  // elements\n" in edits[0].new_text

    async def memcpy_line(name):
        from meshlang.paths import stdlib_dir

        lines = (stdlib_dir() / "memcpy" / "memcpy.csl").read_text(encoding="utf-8").splitlines()
        return next(n for n, line in enumerate(lines) if line.startswith(f"fn {name}"))

    played(tmp_path, scene)


def test_typing(tmp_path):
    async def scene(editor, capabilities):
        client = editor.client
        editor.open("layout.csl")
        editor.open("pe.csl")
        await editor.until("pe.csl", lambda d: d == [])
        editor.change("pe.csl", PE.replace("x[i] += lib.one()", "x[i] = i"))
        (found,) = await editor.until("pe.csl", lambda d: d)
        assert found.code == "MS0301" and found.range.start.line == 11 and "@as(f32, value)" in found.message
        (action,) = await client.text_document_code_action_async(
            lsp.CodeActionParams(editor.doc("pe.csl"), found.range, lsp.CodeActionContext([found]))
        )
        (edit,) = action.edit.changes[editor.doc("pe.csl").uri]
        assert edit.new_text == "@as(f32, i)" and edit.range == found.range
        editor.change("pe.csl", PE.replace("lib.one()", "lib."))  # syntax: names stay known meanwhile
        await editor.until("pe.csl", lambda d: d and d[0].code == "MS0102")
        items = await client.text_document_completion_async(lsp.CompletionParams(**editor.at("pe.csl", "lib.one", 4)))
        assert {i.label for i in items} == {"two", "one"}
        editor.change("pe.csl", PE.replace("{ x[i]", "{ const \N{GREEK SMALL LETTER ALPHA} = 1; x[i]"))
        await editor.until("pe.csl", lambda d: d and d[0].code == "MS0106")
        editor.change("pe.csl", PE.replace("comptime {", "comptime { // \N{MATHEMATICAL BOLD SMALL A}\n @no_such(1);"))
        await editor.until("pe.csl", lambda d: d and d[0].code != "MS0106")
        editor.change("pe.csl", PE)
        await editor.until("pe.csl", lambda d: d == [])
        # lint, and an error that another file causes
        editor.change("layout.csl", LAYOUT.replace("twice });", "70000 });"))
        await editor.until("pe.csl", lambda d: d and d[0].code == "MS0302")

    played(tmp_path, scene)


def test_lint_while_typing(tmp_path):
    async def scene(editor, capabilities):
        (tmp_path / "pe.csl").write_text(
            PE + "task never() void {}\ncomptime { @bind_local_task(never, @get_local_task_id(9)); }\n"
        )
        editor.open("pe.csl")
        (found,) = await editor.until("pe.csl", lambda d: d)
        assert found.code == "MS1012" and found.severity == lsp.DiagnosticSeverity.Warning

    played(tmp_path, scene)


def test_params_of_the_command_line(tmp_path):
    async def scene(editor, capabilities):
        editor.open("layout.csl")
        await editor.until("layout.csl", lambda d: d == [])
        whole = lsp.Range(lsp.Position(0, 0), lsp.Position(99, 0))
        hints = await editor.client.text_document_inlay_hint_async(lsp.InlayHintParams(editor.doc("layout.csl"), whole))
        assert (1, " -> 10") in [(h.position.line, h.label) for h in hints]

    played(tmp_path, scene, params={"size": 5})


def test_rename(tmp_path):
    from meshlang.cli import main

    async def scene(editor, capabilities):
        client = editor.client
        for name in ("layout.csl", "pe.csl"):
            editor.open(name)

        async def rename(new, *place):
            result = await client.text_document_rename_async(lsp.RenameParams(new_name=new, **editor.at(*place)))
            for uri, edits in result.changes.items():
                path = tmp_path / Path(uri).name
                path.write_text(edited(path.read_text(encoding="utf-8"), edits), encoding="utf-8")
                if path.name in editor.versions:
                    editor.change(path.name, path.read_text(encoding="utf-8"))
            return {Path(uri).name: len(edits) for uri, edits in result.changes.items()}

        assert await rename("elements", "pe.csl", "param n", 6) == {"pe.csl": 4, "layout.csl": 1}
        assert await rename("pair", "pe.csl", "lib.two", 5) == {"lib.csl": 1, "pe.csl": 1}
        assert await rename("k", "pe.csl", "|i| {", 1) == {"pe.csl": 2}
        assert await rename("start", "pe.csl", "fn main", 4) == {"pe.csl": 2}
        assert '@export_symbol(start, "main")' in (tmp_path / "pe.csl").read_text()
        for new, place in [("9", ("pe.csl", "x = ")), ("all", ("pe.csl", "x = ")), ("y", ("pe.csl", "sys.unblock", 6))]:
            with pytest.raises(Exception, match="no name|taken|library"):
                await rename(new, *place)

    played(tmp_path, scene)
    assert main(["check", str(tmp_path / "layout.csl")]) == 0


def test_without_its_packages(monkeypatch, capsys):
    from meshlang.cli import main

    monkeypatch.setitem(sys.modules, "meshlang.inspect.language.server", None)
    monkeypatch.delitem(sys.modules, "meshlang.inspect.language.server")
    monkeypatch.setitem(sys.modules, "lsprotocol", None)
    monkeypatch.delitem(sys.modules, "meshlang.inspect.language.server", raising=False)
    assert main(["lsp"]) == 1
    assert "meshlang[editor]" in capsys.readouterr().err


def test_a_module_is_no_hint(tmp_path, monkeypatch):
    """The import says which module it is, however short the path."""
    from meshlang.inspect.language import answers
    from meshlang.inspect.language.workspace import Workspace

    monkeypatch.setattr(answers, "SHORT", 1000)
    for name, text in (("layout.csl", LAYOUT), ("pe.csl", PE), ("lib.csl", LIB)):
        (tmp_path / name).write_text(text)
    workspace = Workspace([str(tmp_path)])
    layout = str(tmp_path / "layout.csl")
    assert workspace.check(layout) == {layout: []}
    assert [text for _, text in answers.hints(workspace, layout)] == [" -> 8"]
    shown = [text for _, text in answers.hints(workspace, str(tmp_path / "pe.csl"))]
    assert " = 8" in shown and not any("module" in text for text in shown)
