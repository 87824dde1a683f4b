"""Programs that are kept: an unchanged one is loaded, anything else is compiled, and nobody sees a difference."""

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import meshlang
from meshlang import cache
from meshlang.diag import MeshlangError
from meshlang.host import build, kept
from meshlang.ir import serial
from meshlang.sema.model import files
from meshlang.sema.model.options import CompileOptions

LAYOUT = """
param n: i16 = 3;
param way: color = @get_color(1);
const lib = @import_module("lib.csl");
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 2, .height = 1 });
layout {
  @comptime_print("laid out", n);
  var rounds: i32 = 0;  // so that it takes longer than LEAST_SECONDS in a process of its own, too
  while (rounds < 8000) { rounds += 1; }
  @set_rectangle(2, 1);
  for (@range(i16, 2)) |x| {
    @set_tile_code(x, 0, "pe.csl", .{ .n = n, .nobody = 1, .memcpy_params = memcpy.get_params(x) });
  }
  @export_name("y", [*]i16, true);
  @export_name("main", fn()void);
}
"""
PE = """
param n: i16;
param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
const math = @import_module("<math>");
const lib = @import_module("lib.csl");
const table = @import_comptime_value([2]i16, "table.json");
var y = [1]i16{ 0 };
var y_ptr: [*]i16 = &y;
fn main() void { y[0] = n + lib.more + table[1]; sys.unblock_cmd_stream(); }
comptime { @comptime_print("more is", lib.more); @export_symbol(y_ptr, "y"); @export_symbol(main); }
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A program that imports a file found on the search path, with a cache of its own."""
    monkeypatch.setenv("MESHLANG_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv(kept.VARIABLE, raising=False)
    monkeypatch.delenv("CSL_IMPORT_PATH", raising=False)
    monkeypatch.setattr(kept, "LEAST_SECONDS", 0.0)
    program = tmp_path / "program"
    (program / "first").mkdir(parents=True)
    (program / "second").mkdir()
    (program / "layout.csl").write_text(LAYOUT)
    (program / "pe.csl").write_text(PE)
    (program / "second" / "lib.csl").write_text("const more: i16 = 40;\n")
    (program / "table.json").write_text("[100, 200]")
    monkeypatch.chdir(program)
    return program


@pytest.fixture
def compiled(monkeypatch):
    """The paths that were compiled, not loaded."""
    done: list[str] = []
    plain = build._compiled
    monkeypatch.setattr(build, "_compiled", lambda path, options: done.append(path) or plain(path, options))
    return done


GIVEN = {"import_paths": ["first", "second"], "params": {"n": 5}}


def kept_files(folder: Path) -> list[Path]:
    return sorted((folder.parent / "cache" / kept.ENTRY).iterdir())


def compiles(**more) -> object:
    """Compiled as `meshlang run` does: what the host reads afterwards."""
    return meshlang.compile("layout.csl", **(GIVEN | more))


def y(program) -> int:
    with program.start() as fabric:
        fabric.launch("main")
        return int(fabric.read("y")[0, 0, 0])


def test_an_unchanged_program_is_loaded_and_shows_the_same(folder, compiled, capsys):
    first = compiles()
    shown = capsys.readouterr()
    second = compiles()
    assert compiled == ["layout.csl"] and len(kept_files(folder)) == 1
    assert serial.pack(second.ir) == serial.pack(first.ir) and y(second) == y(first) == 245
    assert capsys.readouterr() == shown
    assert "laid out 5\nmore is 40\n" in shown.out and "MS0216" in shown.err and "nobody" in shown.err


def other(name: str, text: str):
    return lambda folder, monkeypatch: (folder / name).write_text(text) and {}


def earlier(folder, monkeypatch):
    (folder / "first" / "lib.csl").write_text("const more: i16 = 41;\n")
    return {}


def beside(folder, monkeypatch):
    (folder / "lib.csl").write_text("const more: i16 = 42;\n")
    return {}


def moved(folder, monkeypatch):
    (folder / "second" / "lib.csl").rename(folder / "first" / "lib.csl")
    return {}


def version(folder, monkeypatch):
    monkeypatch.setattr(kept, "_compiler", lambda: "another compiler")
    return {}


def library(folder, monkeypatch):
    monkeypatch.setattr(kept, "stdlib_dir", lambda: folder / "stdlib")
    return {}


def environment(folder, monkeypatch):
    monkeypatch.setenv("CSL_IMPORT_PATH", "third")
    return {}


CHANGES = {
    "the layout": other("layout.csl", LAYOUT.replace("laid out", "laid")),
    "the code": other("pe.csl", PE.replace("n +", "2 * n +")),
    "an import": other("second/lib.csl", "const more: i16 = 30;\n"),
    "a value": other("table.json", "[100, 201]"),
    "a file earlier on the search path": earlier,
    "a file beside the importing one": beside,
    "a file that has moved": moved,
    "a param": lambda *_: {"params": {"n": 6}},
    "the type of a param": lambda *_: {"params": {"n": 5.0}},
    "a color": lambda *_: {"colors": {"way": 3}},
    "an option": lambda *_: {"optimise": 0},
    "the architecture": lambda *_: {"arch": "wse3"},
    "the search path": lambda *_: {"import_paths": ["second", "first"]},
    "the environment": environment,
    "a text in place of a file": lambda *_: {"sources": {"pe.csl": PE.replace("200", "300")}},
    "the compiler": version,
    "where the library is": library,
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_has_changed_is_compiled(folder, compiled, monkeypatch, capsys, name):
    compiles()
    more = CHANGES[name](folder, monkeypatch)
    try:
        changed = compiles(**more)
    except MeshlangError:  # 5.0 is no i16
        assert name == "the type of a param"
        return
    assert len(compiled) == 2
    assert serial.pack(changed.ir) == serial.pack(compiles(**more, cache=False).ir)
    compiles(**more)
    assert len(compiled) == 3  # `cache=False` was the third


def test_every_option_is_part_of_the_name(folder):
    """Also one that is added later."""
    values = {"str": "x", "int": 7, "bool": False, "list[str]": ["x"], "tuple[int, int] | None": (7, 7)}
    values |= {"dict[str, Any]": {"x": 7}, "dict[str, str]": {"x": "y"}, "dict[str, int]": {"x": 7}}
    plain = kept._name("layout.csl", CompileOptions())
    same = {f.name for f in fields(CompileOptions) if kept._name("layout.csl", CompileOptions(**{f.name: values[f.type]})) == plain}  # fmt: skip
    assert same == {"cache"}
    assert kept._name("./layout.csl", CompileOptions()) != plain  # messages show it


@pytest.mark.parametrize("pair", [({"n": 1}, {"n": True}), ({"n": 1}, {"n": 1.0}), ({"n": 0.0}, {"n": -0.0}), ({"n": 1}, {"n": "1"})])  # fmt: skip
def test_values_that_are_equal_and_not_the_same(folder, pair):
    one, two = (kept._name("layout.csl", CompileOptions(params=params)) for params in pair)
    assert one != two


def test_a_folder_of_the_same_name_elsewhere(folder, compiled, monkeypatch):
    """Relative paths are those of the current folder."""
    compiles()
    copy = folder.parent / "copy"
    copy.mkdir()
    for file in folder.rglob("*"):
        if file.is_file():
            (copy / file.relative_to(folder)).parent.mkdir(exist_ok=True)
            (copy / file.relative_to(folder)).write_bytes(file.read_bytes())
    monkeypatch.chdir(copy)
    compiles()
    monkeypatch.chdir(folder)
    compiles()
    assert len(compiled) == 2 and len(kept_files(folder)) == 2


def test_a_file_that_changes_meanwhile(folder, compiled, monkeypatch):
    """Read twice, with another content each time: no program of both is ever loaded."""
    double = PE.replace("comptime {", 'const again = @import_comptime_value([2]i16, "table.json");\ncomptime {')
    double = double.replace("table[1]", "table[1] + again[1]")
    (folder / "pe.csl").write_text(double)
    plain = files.regular_file

    def read(path):
        data = plain(path)
        if Path(path).name == "table.json":
            (folder / "table.json").write_text("[100, 300]")
        return data

    with monkeypatch.context() as m:
        m.setattr(files, "regular_file", read)
        compiles()
    assert y(compiles()) == 5 + 40 + 600 and len(compiled) == 2


def test_a_file_that_could_not_be_read_and_now_can(tmp_path):
    seen = files.Files({})
    with pytest.raises(OSError):
        seen.content(str(tmp_path / "a"))
    assert files.unchanged(seen.there, seen.digests)
    (tmp_path / "a").write_text("x")
    assert not files.unchanged(seen.there, seen.digests)


DAMAGE = {
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "a byte": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "something else": lambda data: b"x" * 1000,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_thrown_away(folder, compiled, name):
    compiles()
    (file,) = kept_files(folder)
    good = file.read_bytes()
    file.write_bytes(DAMAGE[name](good))
    assert y(compiles()) == 245 and len(compiled) == 2
    assert kept_files(folder) == [file] and file.read_bytes() == good


@pytest.mark.parametrize("data", [b"", b"{}", b"\n\n", b"{}\n{}\n", b"[]\n{}\nx", b'{"there": 1, "digests": 2}\n{}\n', b"\xff\n\n"])  # fmt: skip
def test_nonsense_with_a_good_digest_is_thrown_away(folder, compiled, data):
    compiles()
    (file,) = kept_files(folder)
    cache.store(file, data)
    assert y(compiles()) == 245 and len(compiled) == 2
    compiles()
    assert len(compiled) == 2


def test_a_program_that_is_none_is_refused_by_the_verifier(folder, compiled):
    """What stands in the file is not believed: an instruction that no program can have."""
    program = compiles().ir
    (file,) = kept_files(folder)
    head = cache.load(file).split(b"\n", 1)[0]
    program.tiles[0].code[0, 0] = 999
    text, arrays = serial.pack(program)
    cache.store(file, b"\n".join((head, text.strip().encode(), arrays)))
    assert y(compiles()) == 245 and len(compiled) == 2


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners and modes are those of POSIX")
def test_what_others_can_write_is_not_read(folder, compiled):
    compiles()
    (file,) = kept_files(folder)
    file.chmod(0o666)
    compiles()
    file.parent.chmod(0o777)
    compiles()
    assert len(compiled) == 3


def off_by_option(monkeypatch):
    return {"cache": False}


def off_by_variable(monkeypatch):
    monkeypatch.setenv(kept.VARIABLE, "0")
    return {}


def off_without_a_folder(monkeypatch):
    monkeypatch.setenv("MESHLANG_CACHE_DIR", "")
    return {}


def off_for_untrusted_programs(monkeypatch):
    return {"confined_to": os.getcwd()}


@pytest.mark.parametrize("off", [off_by_option, off_by_variable, off_without_a_folder, off_for_untrusted_programs])
def test_off(folder, compiled, monkeypatch, off):
    compiles()
    more = off(monkeypatch)
    compiles(**more)
    compiles(**more)
    assert len(compiled) == 3 and len(kept_files(folder)) == 1


def test_what_compiles_at_once_is_not_kept(folder, compiled, monkeypatch):
    monkeypatch.setattr(kept, "LEAST_SECONDS", 1000.0)
    compiles()
    assert kept_files(folder) == []


def test_errors_are_found_each_time(folder, compiled):
    (folder / "pe.csl").write_text(PE.replace("lib.more", "lib.less"))
    for _ in range(2):
        with pytest.raises(MeshlangError):
            compiles()
    assert len(compiled) == 2 and kept_files(folder) == []


def test_those_of_no_use_for_longest_go_first(folder, compiled, monkeypatch):
    for n in range(3):
        compiles(params={"n": n})
    for age, file in enumerate(sorted(kept_files(folder), key=lambda f: f.stat().st_mtime_ns)):
        os.utime(file, (1000 + age, 1000 + age))
    compiles(params={"n": 0})  # used again
    size = max(f.stat().st_size for f in kept_files(folder))
    monkeypatch.setattr(kept, "MOST_BYTES", 2 * size)
    compiles(params={"n": 3})
    assert len(kept_files(folder)) == 2 and len(compiled) == 4
    compiles(params={"n": 0})
    compiles(params={"n": 3})
    assert len(compiled) == 4
    compiles(params={"n": 1})
    assert len(compiled) == 5


def test_what_a_killed_writer_leaves_is_removed(folder):
    compiles()
    (file,) = kept_files(folder)
    for name, age in (("old", 0), ("new", None)):
        left = file.with_name(f".{name}.1-0.tmp")
        left.write_bytes(b"half")
        if age is not None:
            os.utime(left, (age, age))
    compiles(params={"n": 1})
    assert [f.name for f in kept_files(folder) if f.suffix] == [".new.1-0.tmp"]


def test_all_of_the_compiler_is_in_the_key(tmp_path):
    """Whatever is loaded while a program with something of everything is compiled belongs to the compiler, or to what stands
    above it and decides nothing."""
    code = """
import sys
from meshlang.host.build import build
build(sys.argv[1], params={"W": 2})
print(*(m.__file__ for n, m in list(sys.modules.items()) if n.startswith("meshlang")), sep="\\n")
"""
    sys.path.insert(0, str(Path(__file__).parent.parent / "support"))
    from host_programs import write_program

    # The folder of the process is not the repository: what is installed is to be imported, as in this process.
    command = [sys.executable, "-c", code, str(write_program(tmp_path))]
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    package = Path(meshlang.__file__).parent
    names = {str(Path(line).relative_to(package)) for line in out.stdout.split("\n") if line.endswith(".py")}
    decides = {n for n in names if any(n == c or n.startswith(f"{c}/") for c in kept.COMPILER)}
    above = {"cache.py", "collection.py", "files.py", "paths.py", "version.py"}
    beside = above | {"__init__.py", "host/__init__.py", "host/kept.py", "host/progress.py"}
    assert names - decides == beside and len(decides) > 60


# ---------------------------------------------------------------- commands


def command(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    environ = {**os.environ, "NUMBA_DISABLE_JIT": "1", **environment}
    done = subprocess.run([sys.executable, "-m", "meshlang", *arguments], cwd=folder, env=environ, capture_output=True, text=True)  # fmt: skip
    return done.returncode, done.stdout, done.stderr


OPTIONS = ("-I", "second", "-p", "n=5")


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "layout.csl", *OPTIONS, "--launch", "main", "--get", "y"),
        ("run", "layout.csl", *OPTIONS, "--launch", "main", "--json"),
        ("check", "layout.csl", *OPTIONS, "--listing"),
        ("lint", "layout.csl", *OPTIONS),
        ("cslc", "layout.csl", "--import-path", "second", "--params=n:5", "-o", "out"),
    ],
    ids=lambda a: a[0],
)
def test_commands_say_the_same(folder, arguments):
    """Compiled, loaded, and without a cache."""
    first = command(folder, *arguments)
    (file,) = kept_files(folder)
    os.utime(file, (1, 1))
    assert "laid out 5" in first[1] + first[2] and "MS0216" in first[1] + first[2]
    assert command(folder, *arguments) == first
    assert file.stat().st_mtime > 1  # it was of use
    assert command(folder, *arguments, "--no-cache") == first
    assert command(folder, *arguments, MESHLANG_CACHE_DIR="") == first


def test_what_is_kept_is_plain(folder):
    compiles()
    (file,) = kept_files(folder)
    head, text, _ = cache.load(file).split(b"\n", 2)
    learnt = json.loads(head)
    assert learnt["printed"] == ["laid out 5", "more is 40"]
    assert learnt["there"]["first/lib.csl"] is False and learnt["there"]["second/lib.csl"] is True
    assert {"layout.csl", "pe.csl", "second/lib.csl", "table.json"} <= set(learnt["digests"])
    assert any(name.endswith("math.csl") for name in learnt["digests"])
    assert json.loads(text)["what"] == serial.MAGIC
