"""csdb's recipes on a core file, from the command line, and the vendor's wrapper of its tools."""

import contextlib
import io
import subprocess
import sys

import numpy as np
import pytest
from host_programs import write_program

import meshlang
from meshlang.cli import main
from meshlang.host.sdk.runtime import SdkRuntime


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A compiled program in `out`, beside it the core of a run that has scaled `a` by 3, with offsets 4, 1."""
    folder = tmp_path_factory.mktemp("csdb")
    layout = write_program(folder)
    meshlang.compile(layout, fabric_dims=(10, 4), fabric_offsets=(4, 1)).save(folder / "out")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        runner = SdkRuntime("out")
        runner.load()
        runner.run()
        runner.launch("scale", np.float32(3), np.int16(1), nonblock=False)
        runner.dump_core("corefile.cs1")
    return folder


def csdb(folder, *lines, arguments=(".",)):
    """Exit code and output of `meshlang csdb`, fed with lines in a folder."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        patch.chdir(folder)
        patch.setattr(sys, "stdin", io.StringIO("\n".join(lines) + "\n"))
        code = main(["csdb", *arguments])
    return code, out.getvalue()


def test_the_published_recipe(folder):
    code, out = csdb(
        folder,
        "context list",
        "context select out",
        "target create --core-file corefile.cs1",
        "rectangle select 5,2 2,1",
        "memory read a",
        "memory read a --count 2 --size 2 --format x",
        "memory read b --size 4 --count 1",
    )
    assert code == 0, out
    assert "target: 3 x 2 PEs, at fabric coordinates x 4 to 6, y 1 to 2" in out
    assert "2 PEs, from fabric coordinates 5,2 on" in out
    for x in (5, 6):
        assert f"PE {x},2: a: [4]f32, byte 0x" in out
    assert out.count("4 elements of 4 bytes") == 2 and out.count("3.0 6.0 9.0 12.0") == 2
    assert out.count("0x0000 0x4040") == 2  # 3.0, low half first
    assert "byte 0x" in out and "(word 0x" in out


def test_a_core_beside_its_program_is_there_at_once(folder):
    code, out = csdb(folder, "rectangle show", "symbol list", "memory read n", "vars 0,0")
    assert code == 0 and "fabric coordinates 4,1, 3 x 2 PEs (all)" in out
    assert "16 bytes  a: [4]f32" in out and out.count("n: i16, byte") == 6 and "a: [4]f32 = [3.0" in out


def test_addresses_are_bytes_and_said_as_words_too(folder):
    code, out = csdb(folder, "rectangle select 4 1", "memory read 0x12 --count 3", "memory read 17 --size 1 --count 2")
    assert code == 0, out
    assert "PE 4,1: byte 0x0012 (word 0x0009), 3 elements of 2 bytes" in out
    assert "byte 0x0011 (word 0x0008, upper half), 2 elements of 1 bytes" in out


@pytest.mark.parametrize(
    "line, words",
    [
        ("context select nowhere", "nowhere holds no compiled program"),
        ("context", None),
        ("target create", "takes a core file"),
        ("target create --core-file none.cs1", "MS0901"),
        ("rectangle select 5", "takes the place of a PE"),
        ("rectangle select 0,0", "fabric coordinates (0, 0) are outside the program"),
        ("rectangle select 4,1 9,9", "outside the program"),
        ("memory read", "the name of a variable or a byte address"),
        ("memory read nothing", "nothing"),
        ("memory read a --count x", "takes a number"),
        ("memory read a --size 3", "--size is 1, 2 or 4"),
        ("memory read a --bytes 3", "there is no option --bytes"),
        ("memory read 0xfff0 --count 100", "MS0847"),
        ("memory write a", "there is no command `memory write`"),
        ("frobnicate", "there is no command"),
    ],
)
def test_what_fails_has_a_message_and_exit_code_1(folder, line, words):
    code, out = csdb(folder, line, "rectangle show")
    assert "Traceback" not in out and "internal error" not in out, out
    if words is None:
        assert code == 0 and "context select FOLDER" in out
    else:
        assert code == 1 and words in out, out
        assert "fabric coordinates" in out  # the session goes on


def test_help_on_each(folder):
    from meshlang.inspect.csdb import COMMANDS

    lines = [f"help {name}" for name in COMMANDS]
    code, out = csdb(folder, *lines)
    assert code == 0 and all(f"{name} {c.usage}".rstrip() in out and c.help in out for name, c in COMMANDS.items()), out
    code, out = csdb(folder, *(f"{name} --help" for name in COMMANDS), *(f"{n.split()[0]} help" for n in COMMANDS))
    assert code == 0 and all(c.help in out for c in COMMANDS.values()), out
    code, out = csdb(folder, "help")
    assert "memory read NAME|ADDRESS" in out and "queues" in out


def test_several_programs(folder, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).symlink_to(folder / "out")
    code, out = csdb(tmp_path, "context list", "memory read a")
    assert code == 1 and "holds 2 compiled programs" in out and "no program is loaded" in out
    code, out = csdb(tmp_path, "context select two", f"target create {folder / 'corefile.cs1'}", "memory read a")
    assert code == 0 and "3.0 6.0 9.0 12.0" in out, out


def test_sdk_debug_shell(folder, tmp_path):
    def run(*arguments):
        command = [sys.executable, "-m", "meshlang", "sdk", "--", "sdk_debug_shell", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=folder, input="memory read a\n")

    result = run(
        "compile", "layout.csl", "--fabric-dims=10,4", "--fabric-offsets=4,1", "--memcpy", "--channels=1", "-o", "again"
    )
    assert result.returncode == 0 and (folder / "again" / "out.json").is_file(), result.stderr
    result = run("debug", "out", "--core", "corefile.cs1")
    assert result.returncode == 0 and "3.0 6.0 9.0 12.0" in result.stdout
    result = run("visualize", "--artifact_dir", ".")
    assert result.returncode == 2 and "MS0905" in result.stderr and "--html" in result.stderr
