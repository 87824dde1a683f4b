"""--untrusted, --max-seconds, --max-memory: what a program of unknown origin may read and take."""

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from meshlang.cli import main
from meshlang.commands._limits import resident_megabytes

PE = 'const n = 3; var y = [1]u16{ n }; var p: [*]u16 = &y; comptime { @export_symbol(p, "y"); }'
LAYOUT = 'layout { @set_rectangle(1, 1); @set_tile_code(0, 0, "pe.csl"); @export_name("y", [*]u16, true); }\n'


@pytest.fixture()
def folder(tmp_path):
    inside = tmp_path / "program"
    inside.mkdir()
    (inside / "layout.csl").write_text(LAYOUT)
    (inside / "pe.csl").write_text(PE)
    (tmp_path / "secret.csl").write_text("const secret = 42;\n")
    (tmp_path / "secret.json").write_text('{"secret:u16": 42}')
    return inside


def run(folder, *more):
    return main(["run", str(folder), "--untrusted", *map(str, more)])


def test_a_harmless_program_runs(folder, capsys):
    assert run(folder, "--get", "y") == 0
    assert "[[[3]]]" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["parent", "absolute", "link", "linked folder", "library", "json", "json link", "tile"])
def test_nothing_outside_is_read(folder, capsys, how):
    secret = folder.parent / "secret.csl"
    line = 'const s = @import_module("../secret.csl");'
    if how == "absolute":
        line = f'const s = @import_module("{secret}");'
    elif how == "link":
        os.symlink(secret, folder / "mine.csl")
        line = 'const s = @import_module("mine.csl");'
    elif how == "linked folder":
        os.symlink(folder.parent, folder / "sub")
        line = 'const s = @import_module("sub/secret.csl");'
    elif how == "library":
        line = f'const s = @import_module("<../../../../../../../..{secret.with_suffix("")}>");'
    elif how == "json":
        line = 'const s = @import_comptime_value(struct { secret: u16 }, "../secret.json");'
    elif how == "json link":
        os.symlink(folder.parent / "secret.json", folder / "mine.json")
        line = 'const s = @import_comptime_value(struct { secret: u16 }, "mine.json");'
    if how == "tile":
        (folder / "layout.csl").write_text(LAYOUT.replace('"pe.csl"', '"../secret.csl"'))
    else:
        (folder / "pe.csl").write_text(f"{line}\n{PE}\ncomptime {{ const t = s.secret; }}\n")
    assert run(folder) == 1
    text = capsys.readouterr().err
    assert "MS0215" in text and "42" not in text and "const secret" not in text


def test_whether_a_file_outside_exists_is_not_told(folder, capsys):
    texts = []
    for name in ("secret", "absent"):
        (folder / "pe.csl").write_text(
            f'const s = @import_module("../{name}.csl");\n{PE}\ncomptime {{ const t = s.x; }}\n'
        )
        assert run(folder) == 1
        texts.append(capsys.readouterr().err.replace(name, "NAME"))
    assert [text.splitlines()[0] for text in texts] == [
        "error[MS0215]: a program that is not trusted reads nothing outside its folder"
    ] * 2


def test_an_import_path_is_the_users_word(folder, capsys):
    (folder / "pe.csl").write_text(
        f'const s = @import_module("<secret>");\n{PE}\ncomptime {{ @comptime_assert(s.secret == 42); }}\n'
    )
    assert run(folder) == 1
    assert run(folder, "--import-path", folder.parent) == 0


def test_no_host_script(folder, capsys):
    (folder / "run.py").write_text("raise SystemExit(9)\n")
    assert run(folder) == 2
    assert run(folder / "run.py") == 2
    assert "runs no host script" in capsys.readouterr().err
    assert run(folder / "layout.csl") == 0


ENDLESS = """
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
param memcpy_params;
var n: u32 = 0;
fn spin() void { while (true) { n += 1; } }
comptime { @export_symbol(spin); }
"""
ENDLESS_LAYOUT = """
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
layout { @set_rectangle(1, 1); @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0) }); @export_name("spin", fn()void); }
"""


def test_seconds(folder):
    """In a process of its own: one that does not answer in time, say because it compiles the engine, is ended."""
    (folder / "layout.csl").write_text(ENDLESS_LAYOUT)
    (folder / "pe.csl").write_text(ENDLESS)
    began = time.monotonic()
    command = [sys.executable, "-m", "meshlang", "run", str(folder), "--max-seconds", "1"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1 and time.monotonic() - began < 20
    assert "error[MS0930]: stopped after 1 s" in result.stderr


def test_memory(folder, capsys):
    assert main(["run", str(folder), "--max-memory", "1"]) == 1
    assert "the limit is 1 (--max-memory)" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--max-seconds", "--max-memory"])
def test_limits_are_at_least_one(folder, capsys, option):
    assert main(["run", str(folder), option, "0"]) == 2
    assert "expected at least 1" in capsys.readouterr().err


def test_work_at_compile_time_ends(folder, capsys, monkeypatch):
    monkeypatch.setattr("meshlang.commands._limits.COMPTIME_STEPS", 200_000)  # the limit takes some seconds
    (folder / "layout.csl").write_text(
        "fn f() i32 { var n: i32 = 0; while (true) { n += 0; } return n; }\n"
        + LAYOUT.replace("@set_rectangle", "@comptime_assert(f() == 0); @set_rectangle")
    )
    assert run(folder, "--max-seconds", 600) == 1  # the budget, not the clock, also on a busy machine
    assert "loop runs more than 200000 times" in capsys.readouterr().err


@pytest.mark.parametrize("dims", ["0,5", "5000,3", "3,99999999999"])
def test_absurd_fabrics(folder, capsys, dims):
    assert main(["check", str(folder / "layout.csl"), "--fabric-dims", dims]) == 2
    assert "--fabric-dims" in capsys.readouterr().err


@pytest.mark.parametrize(("system", "reported"), [("linux", 3 << 10), ("freebsd13", 3 << 10), ("darwin", 3 << 20)])
def test_memory_where_there_is_no_proc(monkeypatch, system, reported):
    """getrusage says kilobytes, and on macOS bytes."""
    resource = pytest.importorskip("resource")

    def nothing(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", nothing)
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=reported))
    assert resident_megabytes() == 3


def test_memory_that_this_process_holds(monkeypatch):
    """About what numpy has just filled more than before."""
    before = resident_megabytes()
    block = np.ones(64 << 20, np.uint8)
    assert before is not None and 60 <= resident_megabytes() - before <= 70 and block[0]
