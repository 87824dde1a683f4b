"""docs/timing.md says what the model does. Rows whose checkout is not named are compared where it is."""

from __future__ import annotations

import pytest
from page import PAGE, measured, parts, written
from rows import SOURCES, measure

from meshlang.fabric.timing import load_profile, profile_names

# their programs are here, and small
OURS = {"stream", "stream-cs2", "store-and-forward", "chain-reduce"}


def test_the_page_is_written_from_the_measured_rows():
    text = PAGE.read_text()
    assert text == written(text, parts())


@pytest.mark.parametrize("profile", profile_names())
def test_a_profile_claims_what_its_rows_bear(profile):
    """The accuracy class that every run prints is that of the measured rows; without rows there is none."""
    errors = [abs(r.model - r.published) / r.published for r in measured() if r.profile == profile]
    within = {n: sum(e <= n / 100 for e in errors) / len(errors) if errors else 0.0 for n in (10, 15)}
    earned = "A" if within[10] >= 0.9 else "B" if within[15] >= 0.7 else "C" if errors else "unknown"
    assert load_profile(profile).accuracy.partition(":")[0] == earned


@pytest.mark.parametrize("source", [s.name for s in SOURCES if s.name in OURS])
def test_rows_are_as_measured(source):
    kept = {(r.profile, r.what): (r.published, r.model) for r in measured() if r.source == source}
    rows = {(r.profile, r.what): (r.published, r.model) for r in measure(source=source) if r.source == source}
    assert {k: (round(p, 2), m) for k, (p, m) in rows.items()} == {k: (round(p, 2), m) for k, (p, m) in kept.items()}


@pytest.mark.parametrize("source", ["meshgemv", "meshgemm", "csl-examples"])
def test_rows_of_published_programs_are_as_measured(source):
    """The small ones."""
    kept = {(r.profile, r.what): r.model for r in measured() if r.source == source}
    small = {"meshgemv": "P = 16", "meshgemm": "P = 16, tile 1", "csl-examples": "7pt"}[source]
    rows = list(measure(profile="wse3", source=source, what=small))
    if not rows:
        pytest.skip("no checkout")
    for r in rows:
        assert kept[r.profile, r.what] == pytest.approx(r.model, abs=0.06), r
