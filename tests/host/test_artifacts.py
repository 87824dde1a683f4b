"""Artifacts of the appliance client: what is in them, what they are called, and what is taken out again."""

from __future__ import annotations

import tarfile

import pytest

from meshlang.diag import MeshlangError
from meshlang.host.sdk.appliance import _output_name, _pack, _stays_inside, program_folder, unpack

FILES = (
    "code/run.py",
    "code/deep/er/x.txt",
    "code/empty",
    "code/.git/config",
    "code/deep/.hidden",
    "code/__pycache__/a.pyc",
    "code/deep/__pycache__/b.pyc",
    "code/old.tar.gz",
    "code/out/stale",
    "code/deep/out/kept",
    "built/out/bin/program.json",
    "built/out/.seen",
)


@pytest.fixture
def folder(tmp_path):
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("" if name.endswith("empty") else name)
    return tmp_path


def test_what_is_in_an_artifact(folder):
    """The compiled folder by its name, and the code beside it: nothing hidden, no caches, no artifacts, and no folder that has
    the compiled one's name; times and owners are left out."""
    target = _pack(folder / "built" / "out", folder / "code", folder / "a.tar.gz")
    assert target == str(folder / "a.tar.gz")
    with tarfile.open(target) as archive:
        members = archive.getmembers()
    assert [m.name for m in members] == ["out/bin/program.json", "deep/er/x.txt", "deep/out/kept", "empty", "run.py"]
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, 0, "", "")}
    unpack(target, folder / "again")
    assert (folder / "again" / "deep" / "er" / "x.txt").read_text() == "code/deep/er/x.txt"


def test_equal_contents_are_one_artifact(folder):
    """A folder gets a name from the contents, 16 digits."""
    first, again = (_pack(folder / "built" / "out", folder / "code", folder / place) for place in ("a/b", "c"))
    name = first.rpartition("/")[2]
    assert first == str(folder / "a" / "b" / name) and again == str(folder / "c" / name)
    assert name.startswith("cs_") and len(name) == len("cs_.tar.gz") + 16
    (folder / "code" / "run.py").write_text("other")
    assert not _pack(folder / "built" / "out", folder / "code", folder / "c").endswith(name)


def test_a_folder_is_copied_without_what_is_never_packed(folder):
    (folder / "target").mkdir()
    unpack(folder / "code", folder / "target")
    found = sorted(str(p.relative_to(folder / "target")) for p in (folder / "target").rglob("*") if p.is_file())
    assert found == ["deep/.hidden", "deep/er/x.txt", "deep/out/kept", "empty", "old.tar.gz", "out/stale", "run.py"]


@pytest.mark.parametrize("content", [None, b"no archive"])
def test_what_is_no_artifact(tmp_path, content):
    if content is not None:
        (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(MeshlangError, match=r"MS0966.*a.tar.gz is no artifact") as error:
        unpack(tmp_path / "a.tar.gz", tmp_path / "out")
    assert error.value.diagnostics[0].help == "pass what SdkCompiler.compile returned"


def test_the_program_of_an_artifact_is_the_outermost(tmp_path):
    for name in ("b/c/bin/program.json", "z/bin/program.json"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    assert program_folder(tmp_path) == tmp_path / "z"
    with pytest.raises(MeshlangError, match="MS0966.*holds no program compiled by MeshLang"):
        program_folder(tmp_path / "b" / "c" / "bin")


@pytest.mark.parametrize(
    ("name", "kind", "inside"),
    [
        ("a/b", tarfile.REGTYPE, True),
        ("a", tarfile.DIRTYPE, True),
        ("a..b", tarfile.REGTYPE, True),
        ("/a", tarfile.REGTYPE, False),
        ("a/../b", tarfile.REGTYPE, False),
        ("a", tarfile.SYMTYPE, False),
        ("a", tarfile.CHRTYPE, False),
    ],
)
def test_what_stays_inside(name, kind, inside):
    member = tarfile.TarInfo(name)
    member.type = kind
    if inside:
        _stays_inside(member)
    else:
        with pytest.raises(tarfile.TarError, match="would lie outside the folder"):
            _stays_inside(member)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["-o"], "out"),  # nothing follows
        (["x", "-o", "a", "-o", "b"], "a"),
        (["--output", "a"], "a"),
        (["--output=a"], "a"),
        (["--o=a"], "a"),
        ([], "out"),
    ],
)
def test_the_output_folder(words, name):
    assert _output_name(words) == name
