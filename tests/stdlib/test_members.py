"""docs/stdlib.md is the list of the vendor-compatible libraries: all of them, with every member, are there, and what is
refused is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import meshlang
from meshlang.diag import MeshlangError
from meshlang.paths import stdlib_dir
from meshlang.syntax.parser import parse_file

DOCS = Path(__file__).parent.parent.parent / "docs" / "stdlib.md"
OWN = ("comm", "gemm", "gemv", "llm", "system")  # MeshLang's own libraries
INNER = ("kernels/fft/pencils", "kernels/fft/fft3d_pe")  # parts of others, not to be imported by programs
PARAMS = {
    "malloc": ".{ .buffer_num_words = 8 }",
    "timer": ".{ .timerCount = 1 }",
    "debug": '.{ .key = "k", .buffer_size = 8 }',
    "memcpy/get_params": ".{ .width = 1, .height = 1 }",
    "memcpy_multi/get_params": ".{ .width = 1, .height = 1 }",
}

pytestmark = pytest.mark.skipif(not DOCS.is_file(), reason="no docs beside the tests")


def documented(word: str) -> dict[str, list[str]]:
    """Library -> the names after `word:` in its section."""
    text = DOCS.read_text(encoding="utf-8") if DOCS.is_file() else ""
    found = {}
    for section in re.split(r"^### ", text, flags=re.M)[1:]:
        name = re.match(r"<([^>]*)>", section)[1]
        body = section.split("\n## ")[0]
        lines = re.search(rf"^{word}:((?:.|\n(?!Refused:|\n))*)", body, re.M)
        found[name] = re.findall(r"`(\w+)`", lines[1]) if lines else []
    return found


def declared(library: str) -> set[str]:
    return {getattr(item, "name", None) for item in parse_file(stdlib_dir() / f"{library}.csl").items}


@pytest.mark.parametrize("library", documented("Members"))
def test_every_member_is_there(library):
    assert set(documented("Members")[library]) - declared(library) == set()


def test_every_library_is_documented():
    files = {str(p.relative_to(stdlib_dir()))[:-4] for p in stdlib_dir().rglob("*.csl")}
    own = {f for f in files if f.split("/")[0] in OWN or f in INNER}
    assert files - own == set(documented("Members"))


@pytest.mark.parametrize("arch", ["wse2", "wse3"])
def test_all_can_be_imported_together(tmp_path, arch):
    """Those that need no place in a layout, in one program; every member that is no function is looked at."""
    source, uses = "", []
    for library, members in documented("Members").items():
        if (
            library.startswith(("collectives", "kernels", "message_passing", "memcpy_multi", "memcpy/memcpy"))
            or library == "memcpy/memcpy"
        ):
            continue
        name = "m_" + re.sub(r"\W", "_", library)
        source += (
            f'const {name} = @import_module("<{library}>"{", " + PARAMS[library] if library in PARAMS else ""});\n'
        )
        uses += [
            f"  @comptime_assert(@is_same_type(@type_of({name}.{m}), @type_of({name}.{m})));\n"
            for m in members
            if not re.search(rf"fn {m}\(", (stdlib_dir() / f"{library}.csl").read_text())
        ]
    (tmp_path / "pe.csl").write_text(source + "comptime {\n" + "".join(uses) + "}\n")
    (tmp_path / "layout.csl").write_text('layout { @set_rectangle(1, 1); @set_tile_code(0, 0, "pe.csl"); }')
    meshlang.compile(str(tmp_path / "layout.csl"), arch=arch)
    assert len(uses) > 60


@pytest.mark.parametrize(
    "source, what",
    [
        (
            'const t = @import_module("<time>"); var r: [3]u16; fn main() void { t.get_perf_cntr(&r, 0); }',
            "get_perf_cntr",
        )
    ],
)
def test_what_is_refused(tmp_path, source, what):
    (tmp_path / "pe.csl").write_text(source + "\ncomptime { @export_symbol(main); }")
    (tmp_path / "layout.csl").write_text(
        'layout { @set_rectangle(1, 1); @set_tile_code(0, 0, "pe.csl"); @export_name("main", fn()void); }'
    )
    with pytest.raises(MeshlangError) as e:
        meshlang.compile(str(tmp_path / "layout.csl"), arch="wse3")
    (found,) = e.value.diagnostics
    assert found.code == "MS0399" and what in found.message


def test_the_refused_are_documented():
    refused = {(library, m) for library, members in documented("Refused").items() for m in members}
    reached = {
        (str(p.relative_to(stdlib_dir()))[:-4], fn)
        for p in stdlib_dir().rglob("*.csl")
        for fn in re.findall(r"fn (\w+)\([^{]*\{\s*@__unsupported\(", p.read_text())
    }
    assert refused == reached
