"""Saved programs: what comes back is what went in, and anything else is refused."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import meshlang
from meshlang.diag import Diagnostic
from meshlang.ir import serial
from meshlang.ir.program import FILTER_FIELDS, ColorConfig
from meshlang.syntax.source import SourceFile, Span

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))
from host_programs import write_program


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    path = write_program(tmp_path_factory.mktemp("serial"))
    return meshlang.compile(path, params={"W": 4}, fabric_dims=(11, 4), fabric_offsets=(4, 1)).ir


def same(a, b) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, Span):
        return (a.file.path, a.file.text, a.start, a.end) == (b.file.path, b.file.text, b.start, b.end)
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return a == b


def test_round_trip(compiled, tmp_path):
    serial.save(compiled, tmp_path / "out")
    again = serial.load(tmp_path / "out")
    assert same(compiled, again)
    spans = [s for s in again.tiles[0].spans if s is not None]
    assert spans and spans[0].file is spans[-1].file or len({id(s.file) for s in spans}) < len(spans)


def test_round_trip_of_rare_values(compiled, tmp_path):
    odd = dataclasses.replace(
        compiled, warnings=[Diagnostic("MS0216", "w", Span(SourceFile("a", "text"), 1, 2), "warning")]
    )
    odd.fabric = dataclasses.replace(
        compiled.fabric,
        configs=[
            *compiled.fabric.configs,
            ColorConfig(
                1, 16, ((1, 2), None, (3, 4)), filter=("range", tuple(FILTER_FIELDS.items())), pop="always_pop"
            ),
        ],
    )
    serial.save(odd, tmp_path)
    assert same(odd, serial.load(tmp_path))


def test_metadata_for_host_scripts(compiled, tmp_path):
    serial.save(compiled, tmp_path)
    params = json.loads((tmp_path / "out.json").read_text())["params"]
    assert params["W"] == "4" and params["H"] == "2"
    symbols = {s["name"]: s for s in json.loads((tmp_path / "bin" / "out_rpc.json").read_text())["rpc_symbols"]}
    assert symbols["scale"]["kind"] == "Func" and [i["type"] for i in symbols["scale"]["inputs"]] == ["f32", "i16"]
    assert symbols["a"]["kind"] == "Var" and not symbols["a"]["immutable"] and symbols["limit"]["immutable"]


def refused(folder) -> str:
    with pytest.raises(meshlang.MeshlangError) as info:
        serial.load(folder)
    return info.value.diagnostics[0].code


def test_foreign_and_damaged_folders(compiled, tmp_path):
    assert refused(tmp_path / "nothing") == "MS0902"
    (tmp_path / "vendor" / "bin").mkdir(parents=True)
    (tmp_path / "vendor" / "bin" / "out_0.elf").write_bytes(b"\x7fELF")
    assert refused(tmp_path / "vendor") == "MS0902"
    for name, content in (
        ("program.json", b"{"),
        ("program.json", b"[1]"),
        ("program.npz", b"PK\x03\x04junk"),
        ("program.npz", b""),
    ):
        out = serial.save(compiled, tmp_path / "out")
        (out / "bin" / name).write_bytes(content)
        assert refused(out) == "MS0902", (name, content)
    out = serial.save(compiled, tmp_path / "out")
    (out / "bin" / "program.npz").unlink()
    assert refused(out) == "MS0902"


def test_another_version(compiled, tmp_path):
    out = serial.save(compiled, tmp_path)
    path = out / "bin" / "program.json"
    document = json.loads(path.read_text())
    for change in ({"format": serial.FORMAT + 1}, {"schema": {**document["schema"], "Export": ["name"]}}):
        path.write_text(json.dumps({**document, **change}))
        assert refused(out) == "MS0903"


def test_unwritable(compiled, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(meshlang.MeshlangError) as info:
        serial.save(compiled, tmp_path / "file")
    assert info.value.diagnostics[0].code == "MS0901"
