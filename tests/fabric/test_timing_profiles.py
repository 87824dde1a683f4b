"""Timing is data, and every number names its source."""

import pytest

from meshlang.diag import MeshlangError
from meshlang.fabric.timing import EVIDENCE, load_profile, profile_names


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
