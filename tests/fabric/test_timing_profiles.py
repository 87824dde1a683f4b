"""Timing is data, and every number names its source."""

import pytest

from meshlang.diag import MeshlangError
from meshlang.fabric.timing import EVIDENCE, engine_numbers, load_profile, profile_names


@pytest.mark.parametrize("name", profile_names())
def test_every_number_has_source_and_evidence(name):
    profile = load_profile(name)
    assert len(profile.numbers) > 60
    for key, number in profile.numbers.items():
        assert number.source.strip() and number.evidence in EVIDENCE, key


def test_profiles_have_the_same_numbers():
    keys = [set(load_profile(n).numbers) for n in profile_names()]
    assert all(k == keys[0] for k in keys) and set(profile_names()) == {
        "wse2",
        "wse2-silicon",
        "wse3",
        "wse3-silicon",
    }


@pytest.mark.parametrize(
    "entry",
    [
        "hop = 1",
        "hop = { value = 1 }",
        'hop = { value = 1, source = "x" }',
        'hop = { value = 1, source = "", evidence = "guess" }',
        'hop = { value = 1, source = "x", evidence = "surely" }',
    ],
)
def test_a_number_without_evidence_is_refused(tmp_path, entry):
    path = tmp_path / "mine.toml"
    path.write_text(f"[fabric]\n{entry}\n")
    with pytest.raises(MeshlangError, match="MS0840"):
        load_profile(str(path))


def test_unknown_profile():
    with pytest.raises(MeshlangError, match="MS0841"):
        load_profile("wse9")


def test_a_profile_builds_on_another(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('based_on = "wse3"\n[fabric]\nhop = { value = 1, source = "x", evidence = "guess" }\n')
    mine, base = load_profile(str(path)), load_profile("wse3")
    assert mine["fabric.hop"] == 1 and mine["dsd.load"] == base["dsd.load"]
    assert mine.accuracy.startswith("unknown") and not base.accuracy.startswith("unknown")


def test_the_numbers_that_the_engine_reads():
    """Whole in every profile, and not of a subtable."""
    numbers = engine_numbers.__wrapped__()
    assert numbers == engine_numbers() and len(set(numbers)) == len(numbers)
    assert {"fabric.hop", "fabric.ramp", "task.start", "dsd.issue", "scalar.branch"} <= set(numbers)
    assert not {"fabric.host.copy", "scalar.latency.load", "machine.arch", "queues.input"} & set(numbers)
    profiles = [load_profile(name) for name in profile_names()]
    assert all(type(profile[name]) is int for name in numbers for profile in profiles)


def test_what_a_profile_answers(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        '[a]\nb = { value = 3, source = "x", evidence = "guess" }\nc = { d = { value = 0, source = "y", evidence = "fitted" } }\n'
    )
    mine = load_profile(str(path))
    assert mine.name == "mine" and list(mine.numbers) == ["a.b", "a.c.d"]
    assert (mine["a.b"], mine.get("a.b"), mine.get("a.c.d", 7), mine.get("a.e"), mine.get("a.e", 7)) == (
        3,
        3,
        0,
        None,
        7,
    )
    assert (mine.numbers["a.c.d"].source, mine.numbers["a.c.d"].evidence) == ("y", "fitted")
    assert mine.accuracy == "unknown: not compared with published cycles"
    with pytest.raises(MeshlangError, match="MS0840.*profile mine: there is no number a.e"):
        mine["a.e"]


@pytest.mark.parametrize("content", [b"[a\n", b"\xff"])
def test_a_file_that_is_no_profile(tmp_path, content):
    (tmp_path / "mine.toml").write_bytes(content)
    with pytest.raises(MeshlangError, match="MS0840.*mine.toml"):
        load_profile(str(tmp_path / "mine.toml"))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(MeshlangError, match="MS0840.*folder.toml: is a directory"):
        load_profile(str(tmp_path / "folder.toml"))
    with pytest.raises(MeshlangError, match="MS0841") as error:
        load_profile(str(tmp_path / "nothing.toml"))
    assert error.value.diagnostics[0].help.startswith("profiles: wse2, wse2-silicon, wse3, wse3-silicon;")
