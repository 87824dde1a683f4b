"""Files are written whole or not at all, by one helper that everything uses."""

import ast
import errno
import io
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import meshlang
from meshlang import files
from meshlang.diag import MeshlangError

PACKAGE = Path(meshlang.__file__).parent
# functions that may write past the helper, and why
ALONE = {
    "files.py": "the helper itself",
    "host/printing.py": "sim.log grows line by line while a program runs; each line is complete",
    "host/sdk/stand_ins.py": "in a fresh temporary folder of this process",
    "commands/conformance.py": "the copy of a script in a fresh temporary folder",
    "host/sdk/appliance.py": "stage copies into a fresh temporary working folder",
    "fabric/startup.py": "the lock of the process that compiles: nothing is in it",
    "serve/sweep.py": "the journal of a sweep grows by a line a point; half a last line is dropped when it is read",
    "serve/image_write.py": "the file that the helper is about to put in place, mapped",
    "models/demo.py": "what is downloaded, into a fresh temporary folder",
    "serve/checkout.py": "a copy in a fresh temporary folder",
    "cache.py": "the caches: written beside and renamed there",
}


def writers(tree: ast.AST) -> list[int]:
    """Lines that open a file for writing, or write one, without the helper."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = getattr(getattr(node.func, "value", None), "id", "")
        keywords = [k.value for k in node.keywords if k.arg != "encoding"]
        texts = [a.value for a in [*node.args, *keywords] if isinstance(a, ast.Constant)]
        modes = [t for t in texts if isinstance(t, str) and len(t) < 6]
        if (
            name in ("open", "ZipFile") and owner not in ("os", "shutil") and any(m[:1] in ("w", "a", "x") for m in modes)
            and not any(k.arg == "fileobj" for k in node.keywords)
            or name in ("write_text", "write_bytes") and owner not in ("files", "machine", "self") and len(node.args) < 4
            and not (isinstance(node.func, ast.Attribute) and getattr(node.func.value, "attr", "") == "machine")
            or name == "tofile" or name == "memmap" and "r" not in modes or name in ("copy", "copy2", "copyfile", "move") and owner == "shutil"
            or name in ("save", "savez", "savez_compressed") and owner == "np"
            and not (node.args and isinstance(node.args[0], ast.Name))
        ):  # fmt: skip
            found.append(node.lineno)
    return found


def test_nothing_writes_past_the_helper():
    past = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        lines = writers(ast.parse(path.read_text(encoding="utf-8")))
        if lines and name not in ALONE:
            past[name] = lines
    assert not past, f"use meshlang.files, or say in ALONE why not: {past}"


@pytest.mark.parametrize(
    "line", ["open(p, 'wb')", "p.open(mode='w')", "p.write_text('x')", "np.save('x.npy', a)", "shutil.copy2(a, b)"]
)
def test_the_search_finds(line):
    assert writers(ast.parse(line)) == [1]


def test_replaced_in_one_step(tmp_path):
    target = tmp_path / "file"
    files.write_text(target, "old")
    target.chmod(0o640)
    with files.replacing(target, "w") as file:
        file.write("new")
        file.flush()
        assert target.read_text() == "old"
    assert target.read_text() == "new" and target.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["file"]


def test_the_content_is_on_the_disk_before_the_name(tmp_path, monkeypatch):
    """Else a machine that loses its power keeps a name for nothing."""
    done = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, real=real: (done.append(name), real(*a))[1])
    files.write_text(tmp_path / "file", "content")
    assert done == ["fsync", "replace"]


def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path, monkeypatch):
    target = tmp_path / "file"
    target.write_text("old")
    monkeypatch.setattr(os, "access", lambda path, how: how != os.W_OK)
    with pytest.raises(MeshlangError, match="cannot write .*file: Permission denied"):
        files.write_text(target, "new")
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("error", "message", "help"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "cannot go on: no space left on device", None),
        (FileNotFoundError(2, "No such file", "/a"), "cannot reach /a: no such file", None),
        (
            PermissionError(13, "Permission denied", "/a"),
            "cannot reach /a: permission denied",
            "it, or a folder on the way to it, is not open to you: see `ls -ld`",
        ),
        (OSError("odd"), "cannot go on: odd", None),
    ],
)
def test_what_the_system_refuses(error, message, help):
    (d,) = files.refused(error).diagnostics
    assert (d.code, d.message, d.help) == ("MS0901", message, help)


def test_arrays_are_read_and_nothing_is_executed(tmp_path):
    import numpy as np

    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.zeros((2, 2)))
    found = files.read_arrays((tmp_path / "a.npz").read_bytes())
    assert list(found) == ["x", "y"] and found["x"].tolist() == [0, 1, 2] and found["y"].shape == (2, 2)
    np.savez(tmp_path / "b.npz", x=np.array([print], object))
    for content in ((tmp_path / "b.npz").read_bytes(), b"", b"PK\x03\x04"):
        with pytest.raises(ValueError):
            files.read_arrays(content)


def packed(save, **arrays) -> bytes:
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def test_arrays_of_every_form():
    """As `numpy.load` has them, and each may be written to without changing another."""
    import numpy as np

    arrays = {
        "i": np.arange(6, dtype=np.int32).reshape(2, 3),
        "alike": np.arange(6, dtype=np.int32).reshape(2, 3),
        "byte": np.array([1, 2, 255], np.uint8),
        "bool": np.array([True, False]),
        "half": np.array([[[1.5]]], np.float16),
        "none": np.zeros((0, 4), np.int32),
        "one": np.array(7, np.int64),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">i4"),
        "complex": np.array([1j]),
        "text": np.array(["ab", "c"]),
        "record": np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
    }
    for save in (np.savez, np.savez_compressed):
        content = packed(save, **arrays)
        found = files.read_arrays(content)
        with np.load(io.BytesIO(content)) as want:
            assert list(found) == want.files
            for name in want.files:
                assert found[name].dtype == want[name].dtype and found[name].shape == want[name].shape, name
                assert np.array_equal(found[name], want[name]), name
        found["i"][0, 0] = 99
        assert found["alike"][0, 0] == 0


def test_arrays_that_are_damaged():
    """Whatever byte changes: refused, or it was one that says nothing of the arrays."""
    import numpy as np

    want = {"x": np.arange(40, dtype=np.int32), "y": np.ones((2, 3))}
    content = packed(np.savez_compressed, **want)
    refused = 0
    for i in range(len(content)):
        try:
            found = files.read_arrays(content[:i] + bytes([content[i] ^ 0x10]) + content[i + 1 :])
        except ValueError:
            refused += 1
            continue
        # what remains: dates, versions, names
        assert [a.tolist() for a in found.values()] in ([a.tolist() for a in want.values()], [want["x"].tolist()]), i
    assert refused > len(content) // 2
    for cut in range(0, len(content), 7):
        with pytest.raises(ValueError):
            files.read_arrays(content[:cut])


def test_an_error_leaves_the_old_file(tmp_path):
    target = tmp_path / "file"
    files.write_text(target, "old")
    with pytest.raises(MeshlangError, match="cannot write .*file: No space left"), files.replacing(target) as file:
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["file"]
    with pytest.raises(ZeroDivisionError), files.replacing(target) as file:
        file.write(b"half")
        _ = 1 / 0
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["file"]


def test_links_and_devices(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    files.write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"
    files.write_text("/dev/null", "gone")
    assert not Path("/dev/null").is_file()
    with pytest.raises(MeshlangError, match="cannot write"):
        files.write_text(tmp_path / "no" / "such", "x")


LAYOUT = """param k: i16;
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0), .k = k });
  @export_name("main", fn()void);
  @export_name("out", [*]i16, true);
}
"""
PE = """param memcpy_params;
param k: i16;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
var out = @zeros([2]i16);
var out_ptr: [*]i16 = &out;
fn main() void { out[0] = k; out[1] = k * 2; sys.unblock_cmd_stream(); }
comptime { @export_symbol(main); @export_symbol(out_ptr, "out"); }
"""

# saves a program over another, and dies at the file operation of that number
SAVE = textwrap.dedent("""
    import os, sys
    import meshlang
    program = meshlang.compile(sys.argv[1] + "/layout.csl", params={"k": int(sys.argv[2])})
    left = [int(sys.argv[3])]
    def dying(name):
        real = getattr(os, name)
        def call(*args, **keywords):
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)
            return real(*args, **keywords)
        setattr(os, name, call)
    for name in ("replace", "fsync", "chmod"):
        dying(name)
    program.save(sys.argv[1] + "/out")
    """)


def test_a_save_that_dies(tmp_path):
    """Killed at any of its steps, saving over a folder leaves the old program, the new one or a refusal: no mixture."""
    (tmp_path / "layout.csl").write_text(LAYOUT)
    (tmp_path / "pe.csl").write_text(PE)
    meshlang.compile(tmp_path / "layout.csl", params={"k": 3}).save(tmp_path / "out")
    seen = set()
    for step in range(1, 40):
        meshlang.compile(tmp_path / "layout.csl", params={"k": 3}).save(tmp_path / "out")
        died = subprocess.run([sys.executable, "-c", SAVE, str(tmp_path), "7", str(step)], check=False).returncode
        try:
            program = meshlang.load(tmp_path / "out")
        except MeshlangError as error:
            assert error.diagnostics[0].code == "MS0902"
            seen.add("refused")
            continue
        k = program.ir.params["k"]
        assert {int(v) for v in program.ir.tiles[0].params["k"].split() if v.isdigit()} <= {int(k)}
        seen.add(k)
        if not died:
            break
    assert not died and k == "7" and {"3", "refused"} <= seen
