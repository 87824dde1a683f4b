"""The Language Server Protocol over `answers`, with pygls (extra `editor`)."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer
from pygls.uris import from_fs_path, to_fs_path

from meshlang.diag import Diagnostic, MeshlangError
from meshlang.syntax.format import format_text
from meshlang.syntax.source import SourceFile
from meshlang.version import __version__

from . import answers
from .workspace import Workspace

PAUSE = 0.25  # seconds without typing before a program is compiled
SLOW = 1.5  # a program that takes longer is compiled when it is saved only

_SEVERITY = {
    "error": lsp.DiagnosticSeverity.Error,
    "warning": lsp.DiagnosticSeverity.Warning,
    "note": lsp.DiagnosticSeverity.Information,
}
_COMPLETION = {
    "builtin": lsp.CompletionItemKind.Function,
    "fn": lsp.CompletionItemKind.Function,
    "task": lsp.CompletionItemKind.Event,
    "type": lsp.CompletionItemKind.Class,
    "keyword": lsp.CompletionItemKind.Keyword,
    "file": lsp.CompletionItemKind.File,
    "const": lsp.CompletionItemKind.Constant,
    "color": lsp.CompletionItemKind.Constant,
    "param": lsp.CompletionItemKind.Constant,
}
_OUTLINE = {
    "fn": lsp.SymbolKind.Function,
    "task": lsp.SymbolKind.Event,
    "const": lsp.SymbolKind.Constant,
    "param": lsp.SymbolKind.Field,
    "color": lsp.SymbolKind.Constant,
}


class Server(LanguageServer):
    def __init__(self) -> None:
        super().__init__("meshlang", __version__, text_document_sync_kind=lsp.TextDocumentSyncKind.Incremental)
        self.sources = Workspace()
        self.shown: dict[str, set[str]] = {}  # by the file that was checked: files with diagnostics
        self.found: dict[str, list[Diagnostic]] = {}
        self.waiting: dict[str, asyncio.Task] = {}
        self.seconds = 0.0  # of the last check

    # ------------------------------------------------------------ places

    def file(self, path: str) -> SourceFile:
        try:
            return self.sources.source(path)
        except MeshlangError:
            return SourceFile(path, "")

    def range(self, path: str, start: int, end: int) -> lsp.Range:
        file = self.file(path)
        return lsp.Range(to_position(file, start), to_position(file, end))

    def location(self, place: answers.Place) -> lsp.Location:
        return lsp.Location(uri_of(place[0]), self.range(*place))

    def at(self, params: Any) -> tuple[str, int]:
        path = path_of(params.text_document.uri)
        return path, to_offset(self.file(path), params.position)

    # ------------------------------------------------------------ diagnostics

    def later(self, path: str) -> None:
        """Check a file when its author pauses."""
        running = self.waiting.pop(path, None)
        if running is not None:
            running.cancel()
        self.waiting[path] = asyncio.ensure_future(self._after(path))

    async def _after(self, path: str) -> None:
        await asyncio.sleep(PAUSE)
        if self.seconds > SLOW:
            self.publish(path, {path: self.sources.syntax(path)})
        else:
            self.check(path)

    def check(self, path: str) -> None:
        began = time.monotonic()
        found = self.sources.check(path)
        self.seconds = time.monotonic() - began
        self.publish(path, found)

    def publish(self, path: str, found: dict[str, list[Diagnostic]]) -> None:
        for gone in self.shown.get(path, set()) - set(found):
            self._publish(gone, [])
        self.shown[path] = set(found)
        for file, diagnostics in found.items():
            self._publish(file, diagnostics)

    def _publish(self, path: str, diagnostics: list[Diagnostic]) -> None:
        self.found[path] = diagnostics
        self.text_document_publish_diagnostics(
            lsp.PublishDiagnosticsParams(uri_of(path), [self.diagnostic(path, d) for d in diagnostics])
        )

    def diagnostic(self, path: str, d: Diagnostic) -> lsp.Diagnostic:
        text = "\n".join([d.message, *d.notes, *([f"help: {d.help}"] if d.help else [])])
        related = [
            lsp.DiagnosticRelatedInformation(
                self.location((str(Path(label.span.file.path).absolute()), label.span.start, label.span.end)),
                label.text,
            )
            for label in d.labels
            if label.span is not None
        ]
        where = self.range(path, d.span.start, d.span.end) if d.span is not None else self.range(path, 0, 0)
        return lsp.Diagnostic(
            where, text, _SEVERITY.get(d.severity), d.code, source="meshlang", related_information=related or None
        )


def path_of(uri: str) -> str:
    return str(Path(to_fs_path(uri) or uri))


def uri_of(path: str) -> str:
    return from_fs_path(str(Path(path).absolute())) or path


def to_position(file: SourceFile, offset: int) -> lsp.Position:
    """Lines from 0, columns in UTF-16 units."""
    line, column = file.position(min(offset, len(file.text)))
    before = file.text[file.line_starts()[line - 1] :][: column - 1]
    return lsp.Position(line - 1, len(before.encode("utf-16-le")) // 2)


def to_offset(file: SourceFile, position: lsp.Position) -> int:
    starts = file.line_starts()
    if position.line >= len(starts):
        return len(file.text)
    line = file.line(position.line + 1).encode("utf-16-le")[: 2 * position.character]
    return starts[position.line] + len(line.decode("utf-16-le", errors="ignore"))


def make() -> Server:
    """A server with every feature, not yet started."""
    server = Server()

    @server.feature(lsp.INITIALIZE)
    def initialize(ls: Server, params: lsp.InitializeParams) -> None:
        folders = [path_of(f.uri) for f in params.workspace_folders or ()]
        if not folders and params.root_uri:
            folders = [path_of(params.root_uri)]
        # arch, params, import_paths: as for the command line
        given = params.initialization_options if isinstance(params.initialization_options, dict) else {}
        known = ("arch", "params", "import_paths", "colors")
        ls.sources = Workspace(folders, {k: v for k, v in given.items() if k in known and v})

    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    def did_open(ls: Server, params: lsp.DidOpenTextDocumentParams) -> None:
        path = path_of(params.text_document.uri)
        ls.sources.texts[path] = params.text_document.text
        ls.check(path)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    async def did_change(ls: Server, params: lsp.DidChangeTextDocumentParams) -> None:
        path = path_of(params.text_document.uri)
        ls.sources.texts[path] = ls.workspace.get_text_document(params.text_document.uri).source
        ls.later(path)

    @server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    def did_save(ls: Server, params: lsp.DidSaveTextDocumentParams) -> None:
        ls.sources.forget()
        ls.check(path_of(params.text_document.uri))

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def did_close(ls: Server, params: lsp.DidCloseTextDocumentParams) -> None:
        ls.sources.texts.pop(path_of(params.text_document.uri), None)

    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    def hover(ls: Server, params: lsp.HoverParams) -> lsp.Hover | None:
        path, offset = ls.at(params)
        found = answers.hover(ls.sources, path, offset)
        if found is None:
            return None
        text, start, end = found
        return lsp.Hover(lsp.MarkupContent(lsp.MarkupKind.Markdown, text), ls.range(path, start, end))

    @server.feature(lsp.TEXT_DOCUMENT_DEFINITION)
    def definition(ls: Server, params: lsp.DefinitionParams) -> lsp.Location | None:
        place = answers.definition(ls.sources, *ls.at(params))
        return ls.location(place) if place is not None else None

    @server.feature(lsp.TEXT_DOCUMENT_REFERENCES)
    def references(ls: Server, params: lsp.ReferenceParams) -> list[lsp.Location]:
        places = answers.references(ls.sources, *ls.at(params))
        return [ls.location(p) for p in (places if params.context.include_declaration else places[1:])]

    @server.feature(lsp.TEXT_DOCUMENT_DOCUMENT_HIGHLIGHT)
    def highlight(ls: Server, params: lsp.DocumentHighlightParams) -> list[lsp.DocumentHighlight]:
        path, offset = ls.at(params)
        places = answers.references(ls.sources, path, offset)
        return [lsp.DocumentHighlight(ls.range(*p)) for p in places if p[0] == path]

    @server.feature(
        lsp.TEXT_DOCUMENT_COMPLETION,
        lsp.CompletionOptions(trigger_characters=["@", ".", '"', "<"], resolve_provider=False),
    )
    def completion(ls: Server, params: lsp.CompletionParams) -> list[lsp.CompletionItem]:
        path, offset = ls.at(params)
        text = ls.file(path).text
        out = []
        for p in answers.completion(ls.sources, path, offset):
            edit = None
            if p.label[0] in "@<":  # the sign is part of the label: it and what follows is replaced
                begin = offset
                while begin and (text[begin - 1].isalnum() or text[begin - 1] in "_/"):
                    begin -= 1
                if begin and text[begin - 1] == p.label[0]:
                    begin -= 1
                edit = lsp.TextEdit(ls.range(path, begin, offset), p.label)
            out.append(
                lsp.CompletionItem(
                    p.label,
                    kind=_COMPLETION.get(p.kind, lsp.CompletionItemKind.Variable),
                    detail=p.detail or None,
                    documentation=lsp.MarkupContent(lsp.MarkupKind.Markdown, p.doc) if p.doc else None,
                    text_edit=edit,
                )
            )
        return out

    @server.feature(lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    def outline(ls: Server, params: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol]:
        path = path_of(params.text_document.uri)
        index = ls.sources.index(path)
        return [
            lsp.DocumentSymbol(
                s.name,
                _OUTLINE.get(s.kind, lsp.SymbolKind.Variable),
                ls.range(path, *s.whole),
                ls.range(path, s.start, s.end),
                detail=s.kind,
            )
            for s in (index.symbols if index is not None else ())
            if s.is_global
        ]

    @server.feature(lsp.TEXT_DOCUMENT_RENAME)
    def rename(ls: Server, params: lsp.RenameParams) -> lsp.WorkspaceEdit:
        path, offset = ls.at(params)
        try:
            edits = answers.rename(ls.sources, path, offset, params.new_name)
        except answers.Refused as refused:
            from pygls.exceptions import JsonRpcInvalidParams

            raise JsonRpcInvalidParams(str(refused)) from None
        return lsp.WorkspaceEdit(
            {uri_of(f): [lsp.TextEdit(ls.range(f, a, b), text) for a, b, text in found] for f, found in edits.items()}
        )

    @server.feature(
        lsp.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL,
        lsp.SemanticTokensLegend(list(answers.TOKEN_TYPES), list(answers.TOKEN_MODIFIERS)),
    )
    def tokens(ls: Server, params: lsp.SemanticTokensParams) -> lsp.SemanticTokens:
        path = path_of(params.text_document.uri)
        file = ls.file(path)
        data: list[int] = []
        line = column = 0
        for start, length, kind, modifiers in answers.semantic_tokens(ls.sources, path):
            at, until = to_position(file, start), to_position(file, start + length)
            if at.line != until.line:
                continue
            data += [
                at.line - line,
                at.character - (column if at.line == line else 0),
                until.character - at.character,
                answers.TOKEN_TYPES.index(kind),
                sum(1 << answers.TOKEN_MODIFIERS.index(m) for m in modifiers),
            ]
            line, column = at.line, at.character
        return lsp.SemanticTokens(data)

    @server.feature(
        lsp.TEXT_DOCUMENT_CODE_ACTION, lsp.CodeActionOptions(code_action_kinds=[lsp.CodeActionKind.QuickFix])
    )
    def actions(ls: Server, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        path = path_of(params.text_document.uri)
        file = ls.file(path)
        first, last = to_offset(file, params.range.start), to_offset(file, params.range.end)
        out = []
        for d in ls.found.get(path, ()):
            edit = answers.fix(d)
            if edit is None or d.span.end < first or d.span.start > last:
                continue
            title, start, end, text = edit
            out.append(
                lsp.CodeAction(
                    title,
                    lsp.CodeActionKind.QuickFix,
                    diagnostics=[ls.diagnostic(path, d)],
                    is_preferred=True,
                    edit=lsp.WorkspaceEdit({uri_of(path): [lsp.TextEdit(ls.range(path, start, end), text)]}),
                )
            )
        return out

    @server.feature(lsp.TEXT_DOCUMENT_INLAY_HINT)
    def inlay(ls: Server, params: lsp.InlayHintParams) -> list[lsp.InlayHint]:
        path = path_of(params.text_document.uri)
        file = ls.file(path)
        return [
            lsp.InlayHint(to_position(file, place), text, tooltip="value when compiled")
            for place, text in answers.hints(ls.sources, path)
        ]

    @server.feature(lsp.TEXT_DOCUMENT_FORMATTING)
    def formatting(ls: Server, params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit]:
        path = path_of(params.text_document.uri)
        text = ls.file(path).text
        try:
            formatted = format_text(text, path)
        except MeshlangError:
            return []
        return [] if formatted == text else [lsp.TextEdit(ls.range(path, 0, len(text)), formatted)]

    return server
