"""`meshlang simulate`: every request ends, times add up, traces are read, mistakes are named."""

from __future__ import annotations

import json
import os
import sys
import time

import numpy as np
import pytest

import meshlang
from meshlang.cli import main
from meshlang.serve import costs, workload
from meshlang.serve.scheduler import POLICIES, Model, Wafer
from meshlang.serve.simulate import simulate

# in the form of the public traces, made up
TRACE = """\
TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:51.2220670,879,55
2023-11-16 18:15:51.3913200,91,16
2023-11-16 18:15:52.0000000,3000,1700
"""


@pytest.fixture()
def trace(tmp_path):
    file = tmp_path / "trace.csv"
    file.write_text(TRACE)
    return file


def small(count=400, rate=20.0, models=12):
    """Requests of seconds, loads of tenths of seconds: everything happens."""
    kinds = [Model(f"m{i}", 3 + i % 3, 4, 10**9, 0.005, (0.0005, 0.01)) for i in range(models)]
    wafers = [Wafer(9, 9, 4 * 10**9, 8 * 10**9, (1e10, 2e9, 5e8))] * 4
    return kinds, wafers, workload.workload(workload.drawn_trace(count, 1), count, rate, models, 1.0, 2000)


@pytest.mark.parametrize("name", POLICIES)
def test_every_request_ends(name):
    models, wafers, work = small()
    first, again = (simulate(models, wafers, work, POLICIES[name], name, copies=2) for _ in range(2))
    assert np.array_equal(first.startup, again.startup)
    assert len(first.startup) == 400 == sum(first.sources.values()) and (first.startup >= 0).all()
    assert 0 < first.utilisation < 1 and first.duration >= work.arrival[-1]
    assert (first.moves > 0) == (first.moved_tokens > 0) and (name == "moves" or first.moves == 0)
    # all PE-seconds are those of prompts and tokens, and of pauses
    area = np.array([m.width * m.height for m in models])[work.model]
    seconds = np.array(
        [m.resuming(c) + g * m.decode for m, c, g in zip((models[k] for k in work.model), work.context, work.generated)]
    )
    busy = first.utilisation * first.duration * sum(w.width * w.height for w in wafers)
    assert busy == pytest.approx((area * seconds).sum() + first.paused * 16, rel=0.01)


def test_moving_helps():
    """Where a wafer has to be put in order, and where images are far."""
    models, wafers, work = small(1500, 14.0)
    p99 = {n: simulate(models, wafers, work, POLICIES[n], n).percentiles()["p99"] for n in POLICIES}
    moved = simulate(models, wafers, work, POLICIES["moves"])
    assert moved.moves > 0
    assert p99["moves"] < p99["no-moves"] < p99["random"]


def test_an_empty_cluster_costs_the_load_and_nothing_else():
    model = Model("m", 4, 4, 10**9, 0.01, (0.001, 0.0))
    wafers = [Wafer(4, 4, 10**10, 10**10, (1e10, 2e9, 5e8))]
    work = workload.Workload(np.array([0.0, 10.0]), np.zeros(2, int), np.array([100, 100]), np.array([50, 50]))
    out = simulate([model], wafers, work, POLICIES["moves"])
    assert out.startup.tolist() == [pytest.approx(0.5), 0.0] and out.sources["disk"] == out.sources["fabric"] == 1
    assert out.duration == pytest.approx(10 + 0.1 + 0.5) and out.error == 0
    far = simulate([model], wafers, work, POLICIES["moves"], copies=0)
    assert far.startup[0] == pytest.approx(2.0) and far.sources["remote"] == 1


def test_traces(trace):
    found = workload.read_trace(trace)
    assert found.time.tolist() == pytest.approx([0, 4.314579, 4.541477, 4.71073, 5.31941])
    assert found.context.tolist() == [374, 396, 879, 91, 3000] and found.generated.tolist() == [44, 109, 55, 16, 1700]
    work = workload.workload(found, 12, 2.0, 3, 1.0, 2000)
    assert len(work) == 12 and work.arrival[-1] == pytest.approx(11 / 2) and (np.diff(work.arrival) > 0).all()
    assert (work.context + work.generated).max() == 2000 and work.context[:2].tolist() == [374, 396]
    assert work.context[5] == 374  # it begins again


def test_popularity_is_zipfs():
    work = workload.workload(workload.drawn_trace(20_000), 20_000, 10.0, 5, 1.0, 4096)
    share = np.bincount(work.model, minlength=5) / 20_000
    assert share == pytest.approx(np.array([60, 30, 20, 15, 12]) / 137, abs=0.015)
    gaps = np.diff(work.arrival)
    assert gaps.mean() == pytest.approx(0.1, rel=0.01) and gaps.std() / gaps.mean() == pytest.approx(3, rel=0.1)


@pytest.mark.parametrize(
    "change, text",
    [
        (("ContextTokens", "Context"), "line 1: the columns are TIMESTAMP, Context, GeneratedTokens"),
        (("879,55", "879"), "line 4"),
        (("879,55", "many,55"), "line 4"),
        (("879,55", "0,55"), "line 4"),
        (("2023-11-16 18:15:51.2220670", "yesterday"), "line 4: 'yesterday,879,55' is no time"),
        ((TRACE.partition("\n")[2], ""), "it has 0 requests"),
        ((TRACE, ""), "the columns are none"),
    ],
)
def test_bad_traces(trace, capsys, change, text):
    trace.write_text(TRACE.replace(*change))
    assert main(["simulate", "--trace", str(trace)]) == 1
    err = capsys.readouterr().err
    assert "MS1681" in err and text in err


def test_costs_are_lines_through_measured_points():
    assert costs.line([[10, 25], [20, 45], [30, 65]]) == (pytest.approx(2), pytest.approx(5))
    assert costs.line([[10, 50]]) == (5.0, 0.0)
    many = costs.models(12)
    assert len({m.name for m in many}) == 12 and len({m.shape for m in many}) == len(costs.models(1000)[0:3]) == 3
    for m in many:
        assert 1e-5 < m.decode < 0.1 and 0 < m.resuming(1) < m.resuming(1000) and m.size < 1e11
        assert m.resuming(1000) < 1000 * m.decode * 20


def test_the_command(trace, tmp_path, capsys):
    arguments = ["simulate", "--requests", "300", "--wafers", "3", "--models", "20", "--rate", "50"]
    assert main([*arguments, "--trace", str(trace)]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 6 and "no-moves" in out and "P99 s" in out
    assert main([*arguments, "--policies", "moves", "--json", "--seed", "3"]) == 0
    data = json.loads(capsys.readouterr().out)["policies"]
    assert [p["policy"] for p in data] == ["moves"] and data[0]["requests"] == 300
    assert 0 <= data[0]["p50"] <= data[0]["p95"] <= data[0]["p99"]
    pytest.importorskip("matplotlib", reason="the extra sweep is not installed")
    assert main([*arguments, "--plot", str(tmp_path / "p.svg")]) == 0
    assert (tmp_path / "p.svg").read_text().count("<svg") == 1


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["--wafers", "0"], "--wafers 0: expected at least 1"),
        (["--rate", "nan"], "--rate nan"),
        (["--zipf", "-1"], "--zipf -1"),
        (["--wafer", "720"], "columns x rows"),
        (["--wafer", "90x720"], "needs 96x96 PEs"),
        (["--bandwidth", "1,2"], "three numbers of GB/s"),
        (["--policies", "moves,best"], "'best' is none"),
        (["--plot", "x.txt"], ".svg, .png or .pdf"),
    ],
)
def test_refused(capsys, arguments, text):
    assert main(["simulate", *arguments]) == 2
    assert text in capsys.readouterr().err


def test_missing_trace_and_library(capsys, monkeypatch):
    assert main(["simulate", "--trace", "nothing.csv"]) == 1
    assert "MS0901" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["simulate", "--plot", "x.svg"]) == 1
    assert "MS1600" in capsys.readouterr().err


@pytest.mark.skipif(not os.environ.get("MESHLANG_SERVE_LARGE"), reason="MESHLANG_SERVE_LARGE is not set")
def test_a_thousand_wafers():
    began = time.monotonic()
    work = workload.workload(workload.drawn_trace(100_000), 100_000, 10_000, 300, 1.0, 4096)
    wafers = [Wafer(720, 720, 64 * 10**9, 10**12, (25e9, 6e9, 1.25e9))] * 1000
    out = simulate(costs.models(300), wafers, work, POLICIES["moves"], copies=20)
    assert len(out.startup) == 100_000 and meshlang.__version__
    assert time.monotonic() - began < 300
