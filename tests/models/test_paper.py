"""`meshlang paper`: published numbers are whole, no result is typed in, energy and schedule, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshlang.cli import main
from meshlang.models.paper import page, schedule
from meshlang.models.paper.contents import CONTENTS
from meshlang.models.paper.inference import capacity, shape
from meshlang.models.paper.lab import (
    DERIVED,
    EXTRAPOLATED,
    KINDS,
    MEASURED,
    ONE_LAYER,
    QUOTED,
    Lab,
    NotRun,
    Row,
    Scale,
    published,
)
from meshlang.paths import programs_dir
from meshlang.serve import checkout

MODELS = ("8B", "13B", "34B", "72B")
GEMM, GEMV = (
    ("MeshGEMM", "Cannon", "allgather", "SUMMA"),
    ("pipeline", "ring", "K-tree, K = 1", "K-tree, K = 2", "K-tree, K = 3", "collectives_2d"),
)


def stand_in(factor):
    """Runs nothing: results in the form of the programs', which grow with the mesh, times `factor`."""

    def run(name, params, arch, profile):
        side = int(params.get("sizes", params.get("P", params.get("W", 1)))) + int(params.get("H", 0))
        n = factor * (side + 100)
        if name in ("compare_gemm", "compare_gemv"):
            return {
                "rows": [[side, a, n + i, n, n, n, n] for i, a in enumerate(GEMM if name == "compare_gemm" else GEMV)]
            }
        if name == "kv_cache":
            return {"shift": n * params["H"], "concatenate": n}
        if name.startswith("waferllm/"):
            return {"mean": n, "max": n}
        return {"meshgemv": {"cycles_per_gemv": n, "hops": n, "flops": n}, "decoder": {"cycles": [1, n]}}.get(
            name, {"cycles": n}
        )

    return run


@pytest.mark.parametrize(
    "name, params",
    [
        ("compare_gemm", {"sizes": 2, "tile": 1}), ("compare_gemv", {"sizes": 2, "tile": 1, "lines": 1}), ("meshgemm", {"P": 2}),
        ("meshgemv", {"P": 2}), ("kv_cache", {"W": 2, "H": 2, "bytes": 64}), ("decoder", {"W": 2, "H": 2, "tokens": 1}),
        ("prefill", {"W": 2, "H": 2, "tokens": 2}),
    ],
)  # fmt: skip
def test_the_stand_in_is_like_the_programs(name, params, capsys, tmp_path, monkeypatch):
    """What the programs really record has the names and forms that the stand-in's results have."""
    monkeypatch.chdir(tmp_path)
    arguments = [a for key, value in params.items() for a in ("-p", f"{key}={value}")]
    assert main(["run", str(programs_dir() / name), *arguments, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    for key, value in stand_in(1)(name, params, "wse2", "wse2").items():
        if key == "rows":
            assert [(r[1], len(r)) for r in results[key]] == [(r[1], len(r)) for r in value]
        else:
            assert isinstance(results[key], list) == isinstance(value, list)
            assert isinstance(results[key], (int, float, list))


def refuses(name, params, arch, profile):
    raise NotRun(f"{name} was ended")


@pytest.mark.parametrize("name", CONTENTS)
def test_every_number_comes_from_a_run_or_a_formula(name):
    """Twice the cycles: twice what is measured, and no published number among the results. Without runs there is nothing."""
    entry = CONTENTS[name]
    scale = Scale(max(entry.mesh, 16), entry.models)
    one, two = (entry.function(Lab(stand_in(factor)), scale) for factor in (1, 2))
    assert one and [r.what for r in one] == [r.what for r in two]
    for row, other in zip(one, two):
        assert row.kind in KINDS and row.how and row.unit
        assert (row.value is None) == (row.kind == QUOTED), row
        if row.kind in (MEASURED, EXTRAPOLATED, ONE_LAYER) and row.unit in ("cycles", "ms"):
            assert other.value / row.value == pytest.approx(2, rel=0.05), row
        elif row.kind in (EXTRAPOLATED, ONE_LAYER):
            assert other.value / row.value == pytest.approx(0.5, rel=0.05), (
                row
            )  # speeds, and energy of the GPUs over ours
    runs = any(row.kind in (MEASURED, EXTRAPOLATED, ONE_LAYER) for row in one)
    if runs:
        with pytest.raises(NotRun):
            entry.function(Lab(refuses), scale)
    else:
        assert name == "table1"


def test_what_is_compared_is_of_the_same_pes():
    """MeshGEMM and MeshGEMV print their mean over the PEs, layers their maximum: WaferLLM's figure is the same of its PEs."""

    def run(name, params, arch, profile):
        if name.startswith("waferllm/"):
            return {"mean": 300, "max": 500}
        return {"meshgemv": {"cycles_per_gemv": 100}, "decoder": {"cycles": [7, 100]}}.get(name, {"cycles": 100})

    rows = CONTENTS["waferllm"].function(Lab(run), Scale(8, ("8B",)))
    ratios = {row.what: row.value for row in rows if row.unit == "times"}
    assert len(ratios) == 8
    for what, ratio in ratios.items():
        assert ratio == (3 if what.startswith("MeshGEM") else 5), what


def test_published_numbers_are_whole():
    p = published()
    for name, table in p.items():
        if name not in ("models", "energy", "silicon"):
            assert table["source"], name
    for name in ("table3", "table4"):
        t = p[name]
        for model in MODELS:
            for values in (t["waferllm"][model], *t["quoted"][model].values()):
                assert len(values) == len(t["meshes"]) == 3 and all(v > 0 for v in values)
            assert 2 <= len(t["gpus"][model]) <= 3
    for model in ("8B", "13B"):
        for values in (p["table2"]["waferllm"][model], *p["table2"]["quoted"][model].values()):
            assert len(values) == len(p["table2"]["columns"])
    for kernel in p["silicon"].values():
        for side, values in kernel["cycles"].items():
            assert int(side) % 16 == 0 and len(values) == len(kernel["tiles"]) and values == sorted(values)
    for entry in p["energy"].values():
        assert entry["source"] and entry["evidence"] in ("published", "assumption", "second-hand")
    for model in MODELS:
        assert p["models"][model]["heads"] % p["models"][model]["kv_heads"] == 0


def rows_of(name, **scale):
    return CONTENTS[name].function(Lab(stand_in(1)), Scale(**({"mesh": CONTENTS[name].mesh} | scale)))


def test_the_energy_model_gives_the_published_ratios():
    """15 kW against 400 W: all six ratios of table 6 to half a percent, tables 7 and 8 as far as their figures go."""
    six = [r for r in rows_of("table6") if "the model with" in r.what]
    assert len(six) == 6 and all(abs(r.difference) < 0.005 for r in six)
    for name, count in (("table7", 5), ("table8", 5)):
        rows = [r for r in rows_of(name, models=("8B", "13B")) if "the model with" in r.what]
        assert len(rows) == count and all(r.value == pytest.approx(r.published, rel=0.03, abs=0.006) for r in rows), (
            rows
        )


def test_loads_of_a_pe():
    """A narrow mesh gives a PE what it has on the true one: 4096 elements on 420 rows are 10 on a row, and so on."""
    assert shape("8B", 420, 8, 8) == {
        "W": 8, "H": 8, "hidden": 80, "heads": 4, "kv_heads": 1, "head_size": 4 * 8, "feed": 35 * 8,
    }  # fmt: skip
    true = shape("8B", 420, 420, 8)
    assert true["hidden"] == 80 and (true["heads"], true["kv_heads"], true["head_size"], true["feed"]) == (
        32,
        8,
        128,
        14336,
    )
    assert shape("8B", 420, 8, 420)["hidden"] == 4096
    # 13B on 375 columns: 9 share a head, so 128 of them have two heads and more
    assert shape("13B", 375, 18, 18)["kv_heads"] == 2
    tokens, layers, regions = capacity(published()["models"]["8B"], 360)
    assert (layers, regions) == (6, 6) and tokens > 100


def test_energy_of_what_is_done():
    """Hops have a derived energy, operations one that the caller gives; the two are added."""
    function, scale = CONTENTS["energy"].function, Scale(16)
    plain = {r.what: r for r in function(Lab(stand_in(1)), scale)}
    hops, flops = (next(r.value for what, r in plain.items() if what.endswith(name)) for name in (", hops", ", flops"))
    hop = plain["energy of a wavelet over a link"].value
    assert 1.0 < hop < 1.3 and "energy of a floating-point operation" not in plain  # 32 x 0.15 x about 0.23
    assert next(r.value for what, r in plain.items() if what.endswith("of its hops")) == pytest.approx(hop * hops)
    given = {r.what: r for r in function(Lab(stand_in(1), {"hop": 2.0, "op": 0.5}), scale)}
    assert next(r.value for what, r in given.items() if what.endswith(", energy")) == pytest.approx(
        2 * hops + flops / 2
    )
    assert main(["paper", "energy", "--energy", "watt=3"]) == 2
    assert main(["paper", "energy", "--energy", "op=-1"]) == 2


def test_programs_of_a_checkout(tmp_path, monkeypatch, capsys):
    """Folders are compiled and run as they are, cycles read from what they print; what is wrong with a checkout is said."""
    folder = tmp_path / "MeshGEMV" / "WSE-2"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "layout.csl").write_text(
        "param P: i16;\nparam Mt: i16;\nparam Nt: i16;\nparam pe_num_group: i16;\nparam root_1st_phase: i16;\nparam root_2nd_phase: i16;\n"
        "layout { @comptime_assert(Mt == 2 and pe_num_group == 2 and root_1st_phase == 1 and root_2nd_phase == 3);\n"
        '@set_rectangle(1, 1); @set_tile_code(0, 0, "pe.csl", .{}); }\n'
    )
    (folder / "src" / "pe.csl").write_text("fn main() void {}\n")
    (folder / "launch_sim.py").write_text(
        "import sys\nprint('Mean cycle count: 12.5')\nprint('Max Cycle count:', sys.argv.index('--N') + 10)\n"
    )
    sizes = {"P": 4, "M": 8, "N": 8, "group_num": 2}

    def run(kernel="MeshGEMV", limit=300.0):
        return checkout.run(kernel, sizes, "wse2", "wse2", limit)

    monkeypatch.delenv("MESHLANG_WAFERLLM", raising=False)
    with pytest.raises(NotRun, match="names no checkout"):
        run()
    assert main(["paper", "waferllm"]) == 1 and "names no checkout of WaferLLM" in capsys.readouterr().err
    monkeypatch.setenv("MESHLANG_WAFERLLM", str(tmp_path))
    assert run() == {"mean": 12.5, "max": 15.0}
    with pytest.raises(NotRun, match="no MeshGEMM/WSE-2/launch_sim.py"):
        run("MeshGEMM")
    (folder / "launch_sim.py").write_text("raise SystemExit('it does not work')")
    with pytest.raises(NotRun, match="ended with code 1: it does not work"):
        run()
    (folder / "launch_sim.py").write_text("import time\ntime.sleep(1000)")
    with pytest.raises(NotRun, match="its time was over"):
        run(limit=20.0)


def test_differences():
    def row(value, said):
        return Row("", value, said, "", DERIVED, "").difference

    assert row(3.0, 2.0) == 0.5 and row(2.5, [2, 3]) == 0.0 and row(6, [2, 3]) == 1.0 and row(1, [2, 3]) == -0.5
    assert row(None, 2.0) is None and row(1.0, None) is None and row(1.0, "N") is None


def test_what_fits(monkeypatch):
    """The largest mesh at which all runs give results; what was left is said. An entry whose time is over is left out."""

    def limited(limit):
        def run(name, params, arch, profile):
            if int(params["sizes"]) > 16:
                raise NotRun(f"it was ended after {limit:g} seconds")
            return stand_in(1)(name, params, arch, profile)

        return run

    told = []
    (six,) = schedule.within(["figure6"], 100, limited, None, told.append)
    assert (
        told == [six]
        and six.mesh == 16
        and six.rows
        and "it was ended after" in six.left[0]
        and "32, 64" in six.left[0]
    )
    # each mesh takes four times as long as the one before: 1, 4, 16 s of a clock that only runs move
    now = [0.0]
    monkeypatch.setattr(schedule.time, "monotonic", lambda: now[0])

    def slow(limit):
        def run(name, params, arch, profile):
            now[0] += (int(params["sizes"]) / 4) ** 2
            return stand_in(1)(name, params, arch, profile)

        return run

    (six,) = schedule.within(["figure6"], 30, slow, None, told.append)
    assert six.mesh == 16 and six.left == ["32, 64, 128 PEs a side: the next would take about 64 s, 9 s were left"]
    assert [r["params"]["sizes"] for r in six.runs] == ["2", "4", "8", "16"]
    assert "not run: 32, 64, 128" in page.text(six)


def test_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["paper", "figure6", "--mesh", "4", "--json", "--page", "page.md"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    (entry,) = found["entries"]
    assert entry["mesh"] == 4 and [r["params"]["sizes"] for r in entry["runs"]] == ["2", "4"]
    hops = {row["what"]: row["value"] for row in entry["rows"] if "hops" in row["what"]}
    assert hops["MeshGEMM, hops of a step on 4 x 4 PEs"] == 2 and hops["Cannon, hops of a step on 4 x 4 PEs"] == 3
    text = (tmp_path / "page.md").read_text()
    assert "meshlang paper figure6 --mesh 4" in text and "| MeshGEMM, hops of a step on 4 x 4 PEs | 2 hops |" in text
    assert "figure6: GEMM" in err and str(tmp_path) not in text


def test_page_of_the_docs():
    """docs/paper.md is from a run of this version's entries: every table and figure has its section, in order; what needs a checkout or
    numbers may have one."""
    text = (Path(__file__).resolve().parents[2] / "docs/paper.md").read_text()
    sections = [line for line in text.splitlines() if line.startswith("## ")]
    titles = {f"## {name}: {entry.title}": entry.given for name, entry in CONTENTS.items()}
    assert sections == [title for title, given in titles.items() if not given or title in sections]
    assert sum(given for given in titles.values()) == 2


def test_listed(capsys):
    assert main(["paper", "--list", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == list(CONTENTS)
    assert main(["paper", "--list"]) == 0
    assert "figure10" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "which one? table1, figure6"),
        (["table9"], "there is no 'table9'; did you mean table"),
        (["--all", "table1"], "--all has table1, too"),
        (["table4", "--mesh", "3"], "expected 4 to 750 PEs"),
        (["table4", "--mesh", "8", "--minutes", "1"], "give one of them"),
        (["table4", "--minutes", "nan"], "expected minutes"),
        (["table4", "--models", "9B"], "expected some of 8B, 13B, 34B, 72B"),
        (["table2", "--models", "72B"], "table2 has 8B and 13B, not 72B"),
        (["table1", "--plot", "x.txt"], "expected a file that ends in .svg"),
    ],
)
def test_bad_usage(arguments, message, capsys):
    assert main(["paper", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_run_that_fails_is_no_number(capsys, monkeypatch):
    from meshlang.serve import paper_runs

    monkeypatch.setattr(paper_runs, "runner", lambda child, limit: refuses)
    assert main(["paper", "figure9", "--mesh", "4"]) == 1
    assert "MS1440" in capsys.readouterr().err
    assert main(["paper", "table1", "figure9", "--mesh", "4", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["ok"] and [bool(e["rows"]) for e in found["entries"]] == [True, False]
    assert found["entries"][1]["left"] == ["compare_gemm was ended"]


def test_plot(tmp_path):
    pytest.importorskip("matplotlib")
    from meshlang.serve.paper_runs import plot

    outcome = schedule.at("table4", Lab(stand_in(1)), 8, None)
    assert plot(tmp_path / "p.svg", [outcome]) and "<svg" in (tmp_path / "p.svg").read_text()
    assert not plot(tmp_path / "q.svg", [])
    assert isinstance(outcome.record()["rows"], list)
