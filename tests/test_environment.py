"""The page of environment variables is what the sources read."""

import re
from pathlib import Path

from meshlang import environment

ROOT = Path(__file__).resolve().parents[1]
NAME = re.compile(r"\b(?:MESHLANG_[A-Z0-9_]+|XDG_[A-Z_]+|CSL_IMPORT_PATH)\b")
SOURCES = re.compile(r"[\"'](MESHLANG_[A-Z0-9_]+|XDG_[A-Z_]+|CSL_IMPORT_PATH)[\"']")


def test_the_page_is_up_to_date():
    assert (ROOT / "docs" / "environment.md").read_text(encoding="utf-8") == environment.page()


def test_every_variable_that_is_read():
    read: set[str] = set()
    for path in (ROOT / "meshlang").rglob("*.py"):
        if path.name != "environment.py":
            read |= set(SOURCES.findall(path.read_text(encoding="utf-8")))
    read -= {v.name for v in environment.OF_TESTS}
    assert len(read) > 8
    assert read == {v.name for v in environment.VARIABLES if NAME.fullmatch(v.name)}


def test_no_other_name_is_advertised():
    """What docs and messages name exists."""
    known = {v.name for v in (*environment.VARIABLES, *environment.OF_TESTS)}
    for path in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", *(ROOT / "meshlang").rglob("catalog*.md")]:
        named = set(re.findall(r"\bMESHLANG_[A-Z0-9_]+\b", path.read_text(encoding="utf-8")))
        assert named <= known, path
    tests = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("*.py"))
    assert all(v.name in tests for v in environment.OF_TESTS)


def test_the_oldest_dependencies_are_those_of_the_package():
    """.ci/oldest.txt, which the workflow installs, is what pyproject.toml says."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    least = dict(re.match(r"([\w-]+)>=([\d.]+)", d).groups() for d in project["dependencies"])
    listed = dict(line.split("==") for line in (ROOT / ".ci" / "oldest.txt").read_text(encoding="utf-8").split())
    assert set(listed) == set(least)
    for name, version in listed.items():
        assert version == least[name] or version.startswith(f"{least[name]}."), name
