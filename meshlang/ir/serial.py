"""Save and load a compiled program: the `-o` folder.

    out.json             {"params": {name: text}}: what host scripts read
    bin/out_rpc.json     exported symbols, in the vendor's shape
    bin/program.json     everything but arrays, tagged (see `_Encoder`); begins with a digest of itself and the arrays
    bin/program.npz      the arrays

Nothing in the folder is executed when it is loaded (no pickle). Each file is replaced in one step and program.json comes
last, so that after an interrupted `save` the digest tells whether the two belong together.
A folder belongs to one format: `FORMAT` and the field
names of every record are written with it, and a folder that differs is refused with MS0903, never misread. Errors:
MS0901 unreadable, MS0902 not such a folder or damaged, MS0903 written by another version, MS0790 no program that the
engine could run (verify.py).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import types
import typing
from pathlib import Path
from typing import Any

import numpy as np

from meshlang import files
from meshlang.collection import rarely_collected
from meshlang.diag import Diagnostic, Label, MeshlangError
from meshlang.syntax.source import SourceFile, Span
from meshlang.version import __version__

from . import program as P
from .dsdops import DsdOpCode
from .isa import Op
from .verify import verify
from .words import ROWS

FORMAT = 3
MAGIC = "meshlang program"

RECORDS: dict[str, type] = {
    c.__name__: c
    for c in (
        P.MemoryObject,
        P.Export,
        P.Function,
        P.InlineFrame,
        P.TaskBinding,
        P.Queue,
        P.TileProgram,
        P.ColorConfig,
        P.Fabric,
        P.Preload,
        P.Program,
        Diagnostic,
        Label,
    )
}


def schema() -> dict[str, list[str]]:
    """The field names of every record, the instructions, and the columns of the tables: two versions that differ here
    cannot read each other's folders."""
    found = {name: [f.name for f in dataclasses.fields(cls)] for name, cls in RECORDS.items()}
    found["instructions"] = [f"{int(op)} {op.name} {op.row.shape}" for op in Op]
    found["operations"] = [f"{int(op)} {op.name}" for op in DsdOpCode]
    return found | {row.__name__: list(row.FIELDS) for row in ROWS}


def pack(program: P.Program) -> tuple[str, bytes]:
    """A program as the texts of program.json and the bytes of program.npz."""
    encoder = _Encoder()
    body = encoder.encode(program)
    document = {
        "what": MAGIC,
        "format": FORMAT,
        "version": __version__,
        "schema": schema(),
        "sources": [{"path": s.path, "text": s.text} for s in encoder.sources],
        "parts": encoder.parts,
        "program": body,
    }
    arrays = io.BytesIO()
    np.savez_compressed(arrays, **encoder.arrays)  # type: ignore[arg-type]
    return sealed(json.dumps(document), arrays.getvalue()), arrays.getvalue()


def save(program: P.Program, folder: str | Path) -> Path:
    """Write a program; the folder is created, its files replaced. Returns the folder."""
    folder = Path(folder)
    text, arrays = pack(program)
    try:
        (folder / "bin").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.cannot_write(folder, error) from None
    files.write_bytes(folder / "bin" / "program.npz", arrays)
    _dump(folder / "bin" / "out_rpc.json", {"rpc_symbols": rpc_symbols(program)})
    _dump(folder / "out.json", {"params": program.params, "colors": {}, "target": program.arch})
    files.write_text(folder / "bin" / "program.json", text)
    return folder


_SEAL = '{"digest": "%s", '  # how program.json begins; the digest is of what follows, and of program.npz


def sealed(document: str, arrays: bytes) -> str:
    """The text of program.json for a document in JSON and the bytes of program.npz."""
    rest = document[1:]
    return _SEAL % _digest(rest, arrays) + rest + "\n"


def _digest(text: str, arrays: bytes) -> str:
    return hashlib.sha256(text.rstrip().encode() + b"\0" + arrays).hexdigest()


def load(folder: str | Path) -> P.Program:
    """Read a program that `save` wrote."""
    folder = Path(folder)
    path = folder / "bin" / "program.json"
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise _foreign(folder) from None
    except (OSError, UnicodeDecodeError) as error:
        raise MeshlangError(Diagnostic("MS0902", f"cannot read {path}: {error}")) from None
    document = _document(text, folder, path)
    if document is None:
        raise _foreign(folder)
    try:
        content = (folder / "bin" / "program.npz").read_bytes()
    except OSError as error:
        raise _damaged(folder / "bin" / "program.npz", error.strerror or str(error)) from None
    program = _program(document, text, content, path, folder / "bin" / "program.npz")
    verify(program)
    return program


def unpack(text: str, arrays: bytes, name: str) -> P.Program:
    """A program from what `pack` made of it; name: what it stands in, for messages. Errors as `load`, but for MS0790: whoever
    does not start it at once, which verifies it, does so himself."""
    document = _document(text, name, name)
    if document is None:
        raise _damaged(name, "it is no program")
    return _program(document, text, arrays, name, name)


def _document(text: str, name: str | Path, path: str | Path) -> dict[str, Any] | None:
    """The JSON of a program in the form of this version; None if it is something else."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"it is not JSON ({error})") from None
    if not isinstance(document, dict) or document.get("what") != MAGIC:
        return None
    if document.get("format") != FORMAT or document.get("schema") != schema():
        raise MeshlangError(
            Diagnostic(
                "MS0903",
                f"{name} was compiled by MeshLang {document.get('version', '?')} in a form that "
                f"this version, {__version__}, does not read",
                help="compile the program again",
            )
        )
    return document


def _program(
    document: dict[str, Any], text: str, content: bytes, path: str | Path, arrays_path: str | Path
) -> P.Program:
    digest = document.get("digest")
    if not isinstance(digest, str) or _digest(text[len(_SEAL % digest) :], content) != digest:
        raise _damaged(path, "it and program.npz are not what one `save` wrote")
    try:
        arrays = files.read_arrays(content)
    except ValueError as error:
        raise _damaged(arrays_path, str(error)) from None
    try:
        sources = [SourceFile(s["path"], s["text"]) for s in document["sources"]]
        for source in sources:
            _check(source.path, str, "a source's path", set())
            _check(source.text, str, "a source's text", set())
        with rarely_collected():
            program = _Decoder(arrays, sources, document["parts"]).decode(document["program"])
            _check(program, P.Program, "the program", set())
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from None
    assert isinstance(program, P.Program)
    return program


@functools.cache
def _hints(record: type) -> dict[str, Any]:
    return typing.get_type_hints(record)


@functools.cache
def _parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    return typing.get_origin(hint), typing.get_args(hint)


def _check(value: Any, hint: Any, what: str, seen: set[int]) -> None:
    """A decoded value is of the type that its field declares. ValueError if it is not. seen: records that are known to
    be right, by identity."""
    if hint is Any:
        return
    origin, arguments = _parts(hint)
    if origin is types.UnionType or origin is typing.Union:
        kinds = [a for a in arguments if a is not type(None)]
        if value is None and len(kinds) < len(arguments):
            return
        if len(kinds) == 1:
            return _check(value, kinds[0], what, seen)
        good = isinstance(value, tuple(kinds))
    elif origin is None:
        good = isinstance(value, hint)
        if good and hint.__name__ in RECORDS and id(value) not in seen:
            seen.add(id(value))
            for name, part in _hints(hint).items():
                _check(getattr(value, name), part, f"{hint.__name__}.{name}", seen)
    elif good := isinstance(value, origin):
        if origin is dict:
            for key, item in value.items():
                _check(key, arguments[0], f"a key of {what}", seen)
                _check(item, arguments[1], f"{what}[{key!r}]", seen)
        elif origin is list or arguments[1:] == (...,):
            found = set(map(type, value))
            if not _plain(found, arguments[0]):
                one = found == {arguments[0]}  # the same records stand in many lists
                for item in value:
                    if not one or id(item) not in seen:
                        _check(item, arguments[0], f"an item of {what}", seen)
        elif good := len(value) == len(arguments):
            for item, part in zip(value, arguments, strict=True):
                _check(item, part, f"an item of {what}", seen)
    if not good:
        raise ValueError(f"{what} is of type {type(value).__name__}")


def _plain(kinds: set[type], hint: Any) -> bool:
    """Are items of these types what the hint says, whatever is in them?"""
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    simple = all(isinstance(a, type) and not isinstance(a, types.GenericAlias) for a in allowed)
    return simple and all(k.__name__ not in RECORDS and issubclass(k, allowed) for k in kinds)


def rpc_symbols(program: P.Program) -> list[dict[str, Any]]:
    """The host-visible symbols; the position is the id that `get_id` gives.

    Program.exports has them in order of their @export_name. A program that exports from PE code only (SdkLayout's way)
    lists what its tile programs export.
    """
    rows = []
    for number, (name, (type_text, mutable)) in enumerate(program.exports.items()):
        export = next((t.exports[name] for t in program.tiles if name in t.exports), None)
        function = export.kind == "fn" if export is not None else type_text.startswith("fn")
        row: dict[str, Any] = {
            "id": number,
            "name": name,
            "type": type_text,
            "kind": "Func" if function else "Var",
            "immutable": not mutable,
            "color": None,
        }
        row["inputs"] = [{"type": t} for t in (export.params if export is not None and function else ())]
        rows.append(row)
    for color, name in {**program.fabric.host_in, **program.fabric.host_out}.items():
        rows.append(
            {
                "id": color,
                "name": name,
                "type": "color",
                "kind": "Stream",
                "immutable": True,
                "color": color,
                "inputs": [],
            }
        )
    return rows


def _dump(path: Path, value: Any) -> None:
    files.write_text(path, json.dumps(value, indent=2) + "\n")


def _foreign(folder: Path) -> MeshlangError:
    elf = (folder / "bin").is_dir() and any((folder / "bin").glob("*.elf"))
    if elf:
        note = "it holds ELF files of the vendor's compiler"
    elif not folder.exists():
        note = "there is no such folder"
    elif (folder / "bin" / "program.json").exists():
        note = "bin/program.json is something else"
    else:
        note = "bin/program.json is missing"
    return MeshlangError(
        Diagnostic(
            "MS0902",
            f"{folder} is not a program compiled by MeshLang: {note}",
            help=f"compile it first: meshlang cslc layout.csl -o {folder}",
        )
    )


def _damaged(path: str | Path, reason: str) -> MeshlangError:
    return MeshlangError(Diagnostic("MS0902", f"{path} is damaged: {reason}", help="compile the program again"))


class _Encoder:
    """Values to JSON with tags: {"$": record, ...}, {"$t": tuple}, {"$d": pairs}, {"$a": array}, {"$s": span}, {"$l":
    spans}, {"$r": number of a part}. Parts are what several records have alike: tile programs differ in little."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self.parts: list[Any] = []
        self._part_of: dict[str, int] = {}
        self._span_lists: dict[bytes, str] = {}
        self.sources: list[SourceFile] = []
        self._source_ids: dict[int, int] = {}

    def encode(self, value: Any) -> Any:
        if value is None or isinstance(value, (bool, str, float)) and not isinstance(value, np.generic):
            return value
        if isinstance(value, (int, np.integer)):
            return int(value)
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, np.ndarray):
            return {"$a": self._array(value)}
        if isinstance(value, Span):
            return {"$s": self._span(value)}
        if isinstance(value, list):
            if len(value) > 8 and all(v is None or isinstance(v, Span) for v in value):
                rows = [self._span(v) if v is not None else (-1, 0, 0) for v in value]
                array = np.array(rows, dtype=np.int32)
                key = array.tobytes()
                if key not in self._span_lists:
                    self._span_lists[key] = self._array(array)
                return {"$l": self._span_lists[key]}
            return [self.encode(v) for v in value]
        if isinstance(value, tuple):
            return {"$t": [self.encode(v) for v in value]}
        if isinstance(value, dict):
            return {"$d": [[self.encode(k), self.encode(v)] for k, v in value.items()]}
        name = type(value).__name__
        if RECORDS.get(name) is type(value) and dataclasses.is_dataclass(value):
            return {"$": name, **{f.name: self._field(getattr(value, f.name)) for f in dataclasses.fields(value)}}
        raise TypeError(f"a Program holds a {type(value).__name__}, which cannot be saved")

    def _field(self, value: Any) -> Any:
        out = self.encode(value)
        if not isinstance(value, (list, dict)) or not value:
            return out
        key = json.dumps(out)
        if key not in self._part_of:
            self._part_of[key] = len(self.parts)
            self.parts.append(out)
        return {"$r": self._part_of[key]}

    def _array(self, value: np.ndarray) -> str:
        name = f"a{len(self.arrays)}"
        self.arrays[name] = value
        return name

    def _span(self, span: Span) -> tuple[int, int, int]:
        key = id(span.file)
        if key not in self._source_ids:
            self._source_ids[key] = len(self.sources)
            self.sources.append(span.file)
        return self._source_ids[key], span.start, span.end


class _Decoder:
    def __init__(self, arrays: dict[str, np.ndarray], sources: list[SourceFile], parts: list[Any]):
        self.arrays = arrays
        self.sources = sources
        self.parts: list[Any] = []
        for part in parts:  # each of what comes before it
            self.parts.append(self.decode(part))

    def decode(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.decode(v) for v in value]
        if not isinstance(value, dict):
            return value
        if "$" in value:
            return RECORDS[value["$"]](**{k: self.decode(v) for k, v in value.items() if k != "$"})
        if "$r" in value:
            return self.parts[value["$r"]].copy()  # a list or dictionary of its own, of the same records
        if "$t" in value:
            return tuple(self.decode(v) for v in value["$t"])
        if "$d" in value:
            return {self.decode(k): self.decode(v) for k, v in value["$d"]}
        if "$a" in value:
            return self.arrays[value["$a"]]
        if "$s" in value:
            return self._span(*value["$s"])
        if "$l" in value:
            return self._spans(self.arrays[value["$l"]])
        raise ValueError("an unknown tag")

    def _spans(self, rows: np.ndarray) -> list[Span | None]:
        """Spans, or None where the file is negative. Instructions have few different ones: each is made once."""
        if rows.ndim != 2 or rows.shape[1] != 3 or rows.dtype != np.int32 or (rows[:, 1:] < 0).any():
            raise ValueError("spans are rows of three numbers")
        file, start, end = rows.T.astype(np.int64)
        limit = int(rows[:, 1:].max(initial=0)) + 1
        if (int(file.max(initial=0)) + 2) * limit**2 >= 1 << 62:
            raise ValueError("a span lies outside its file")
        different, first, where = np.unique(
            (file * limit + start) * limit + end, return_index=True, return_inverse=True
        )
        made = np.empty(len(different), object)
        for i, (a, b, c) in enumerate(rows[first].tolist()):
            made[i] = None if a < 0 else self._span(a, b, c)
        return made[where].tolist()

    def _span(self, file: int, start: int, end: int) -> Span:
        if not (0 <= file < len(self.sources) and 0 <= start <= end <= len(self.sources[file].text)):
            raise ValueError("a span lies outside its file")
        return Span(self.sources[file], start, end)
