"""`meshlang sweep`: every combination once, whatever interrupts it; failures; outputs."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from host_programs import write_program

from meshlang import MeshlangError
from meshlang.cli import main
from meshlang.serve import dask_scheduler
from meshlang.serve.sweep_results import _column

# writes a line when it starts, and one when it has done its work
HOST = """
import os, time
import meshlang
args = meshlang.params(a=0, b="x", how="fine", wait=0.0)
with open("log", "a") as log:
    print("start", os.getpid(), args["a"], args["b"], file=log)
time.sleep(args["wait"])
if args["how"] == "raises":
    raise KeyError("nothing there")
if args["how"] == "killed":
    os.kill(os.getpid(), 9)
meshlang.run_context().check(args["how"] != "refused", "not like this")
meshlang.run_context().result(square=args["a"] ** 2, name=args["b"], all=[1, 2, 3], parts={"one": 1.5})
"""


@pytest.fixture()
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "host.py").write_text(HOST)
    return tmp_path


def sweep(capsys, *arguments, code=0):
    try:
        got = main(["sweep", *arguments])
    except SystemExit as exit_:
        got = exit_.code
    out, err = capsys.readouterr()
    assert got == code, (out, err)
    assert "Traceback" not in err
    return out, err


def rows(file="r.csv"):
    with open(file, newline="") as stream:
        return list(csv.DictReader(stream))


def started(folder):
    log = folder / "log"
    return [tuple(line.split()[2:]) for line in log.read_text().splitlines()] if log.exists() else []


def test_combinations_and_failures(folder, capsys):
    out, err = sweep(
        capsys, "host.py", "-p", "a=3,4", "-p", "how=fine,refused,raises,killed", "-o", "r.csv", "--no-plot",
        "--metric", "square",
    )  # fmt: skip
    found = {(r["a"], r["how"]): r for r in rows()}
    assert len(found) == 8 and len(started(folder)) == 8
    assert [found[a, "fine"]["results.square"] for a in "34"] == ["9", "16"]
    assert found["3", "fine"]["results.parts.one"] == "1.5" and "results.all" not in found["3", "fine"]
    assert found["3", "refused"]["error"] == "MS0923: the program's own check failed: not like this"
    assert "exit code 1: KeyError: 'nothing there'" in found["3", "raises"]["error"]
    assert "signal 9 ended it" in found["3", "killed"]["error"]
    assert "| 4 |" in out and "16 |" in out and "8 points, 6 failed" in err
    assert not (folder / "r.csv.points").exists()


def test_time_limit_and_nothing_succeeds(folder, capsys):
    out, err = sweep(
        capsys, "host.py", "-p", "wait=60", "-p", "a=1", "-o", "r.json", "--time-limit", "1.5", "--no-plot", code=1
    )
    assert "ended after 1.5 seconds" in out and "failed, MS1654" in err
    point = json.loads((folder / "r.json").read_text())["points"][0]
    assert point["status"] == "failed" and point["diagnostics"][0]["code"] == "MS1654"


def test_fabrics_architectures_and_escaped_commas(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_program(tmp_path)
    out, _ = sweep(
        capsys, "layout.csl", "-p", "W=2,3", "--arch", "wse2,wse3", "--launch", "scale,2,1", "--get", "n", "-o", "r.json",
        "--no-plot",
    )  # fmt: skip
    data = json.loads((tmp_path / "r.json").read_text())
    assert data["axes"] == {"W": [2, 3], "arch": ["wse2", "wse3"]}
    assert [p["values"] for p in data["points"]] == [{"W": w, "arch": a} for w in (2, 3) for a in ("wse2", "wse3")]
    for point in data["points"]:
        assert point["runs"][0]["resources"]["arch"] == point["values"]["arch"]
        assert point["runs"][0]["resources"]["pes"] == 2 * point["values"]["W"] and point["runs"][0]["cycles"] > 0
        assert point["results"]["n"] == [[[-5]] * point["values"]["W"]] * 2
    assert out.count("\n") == 6
    (tmp_path / "host.py").write_text(HOST)
    sweep(capsys, "host.py", "-p", r"b=x\,y,z", "-o", "r.csv", "--no-plot")
    assert [r["results.name"] for r in rows()] == ["x,y", "z"]


def test_interrupted_three_times(folder, capsys):
    """kill -9 of the sweep, when some points are done and others under way: what was finished is not run again, what was
    under way ends with the sweep."""
    numbers = range(50 if os.environ.get("MESHLANG_SERVE_LARGE") else 6)
    total = 2 * len(numbers)
    axis = "a=" + ",".join(map(str, numbers))
    command = ["host.py", "-p", axis, "-p", "b=x,y", "-p", "wait=0.2", "-o", "r.csv", "--no-plot"]
    points, finished = folder / "r.csv.points", 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-m", "meshlang", "sweep", *command, "--jobs", "2"], stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while not points.exists() or points.read_bytes().count(b"\n") < finished + total // 6:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        finished = points.read_bytes().count(b"\n")
    assert 3 * (total // 6) <= finished < total
    done = {tuple(json.loads(line)["values"][n] for n in "ab") for line in points.read_text().splitlines()}
    with points.open("ab") as file:
        file.write(b'{"key": "half of a li')  # as the power goes
    pids = [int(line.split()[1]) for line in (folder / "log").read_text().splitlines()]
    deadline = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, pids))
    before = len(started(folder))
    _, err = sweep(capsys, *command)
    assert f"{finished} of {total} points are there already" in err
    again = started(folder)[before:]
    assert len(again) == total - finished and not done & set(again)
    assert [(r["a"], r["b"], r["results.square"]) for r in rows()] == [
        (str(a), b, str(a * a)) for a in numbers for b in "xy"
    ]


def alive(pid):
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_changed_program_runs_anew(folder, capsys):
    from meshlang.serve.sweep import Plan

    (folder / "x.npy").write_bytes(b"1")
    plan = Plan(folder / "host.py", {"a": ("-p", ["1", "2"])}, data=(folder / "x.npy",))
    keys = {p.key for p in plan.points()}
    assert len(keys) == 2 and keys == {p.key for p in plan.points()}
    for name in ("host.py", "x.npy"):
        (folder / name).write_text(HOST + "#")
        changed = {p.key for p in plan.points()}
        assert not keys & changed
        keys = changed


def test_two_at_once(folder, capsys):
    from meshlang.serve.sweep import Journal

    journal = Journal(folder / "r.csv.points")
    assert "MS1651" in sweep(capsys, "host.py", "-p", "a=1", "-o", "r.csv", code=1)[1]
    journal.close()
    (folder / "r.csv.points").write_text("my notes\n")
    assert "MS1653" in sweep(capsys, "host.py", "-p", "a=1", "-o", "r.csv", code=1)[1]
    assert (folder / "r.csv.points").read_text() == "my notes\n" and not started(folder)


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["-p", "a"], "expected NAME=VALUE,VALUE"),
        (["-p", "a=1,,2"], "a value is empty"),
        (["-p", "a=1,2,1"], "1 is there twice"),
        (["-p", "a=1", "-p", "a=2"], "given twice"),
        ([], "nothing to sweep over"),
        (["--arch", "wse2,wse4"], "'wse4' is not what"),
        (["--seed", "1,x"], "'x' is not what"),
        (["-p", "seed=1", "--seed", "2"], "the same column"),
        (["-p", "a=1", "-o", "r.txt"], ".csv, .json or .parquet"),
        (["-p", "a=1", "-o", "none/r.csv"], "there is no folder none"),
        (["-p", "a=1", "--plot", "x.doc"], ".svg, .png or .pdf"),
        (["-p", "a=1", "--jobs", "0"], "--jobs 0"),
        (["-p", "a=1", "--time-limit", "nan"], "--time-limit nan"),
    ],
)
def test_refused(folder, capsys, arguments, text):
    output = [] if "-o" in arguments else ["-o", "r.csv"]
    err = sweep(capsys, "host.py", *output, *arguments, code=1 if "MS0901" in text else 2)[1]
    assert text in err and not started(folder) and not list(folder.glob("r.*"))


def test_metric_that_nobody_has(folder, capsys):
    _, err = sweep(capsys, "host.py", "-p", "a=1", "-o", "r.csv", "--metric", "speed", "--no-plot", code=2)
    assert "no point has such a number" in err and "results.square" in err and len(rows()) == 1


@pytest.mark.parametrize(
    ("values", "column"),
    [
        ([1, 2, None], [1, 2, None]),
        ([1.5, None], [1.5, None]),
        (["a", "b", None], ["a", "b", None]),
        ([1, 2.5, None], [1.0, 2.5, None]),  # numbers of two types are numbers
        ([1, "a", None], ["1", "a", None]),  # numbers and texts are texts
        ([None], [None]),
    ],
)
def test_a_column_has_one_type(values, column):
    rows_ = [{"x": value} for value in values] + [{}]
    found = _column(rows_, "x")
    assert found == [*column, None] and [type(v) for v in found] == [type(v) for v in [*column, None]]


def test_parquet_and_plot(folder, capsys):
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra sweep is not installed")
    pytest.importorskip("matplotlib", reason="the extra sweep is not installed")
    _, err = sweep(
        capsys, "host.py", "-p", "a=1,2,3", "-p", "how=fine,refused", "-o", "r.parquet", "--metric", "square"
    )
    found = parquet.read_table("r.parquet").to_pydict()
    assert found["a"] == [1, 1, 2, 2, 3, 3] and found["results.square"] == [1, None, 4, None, 9, None]
    assert "plot in r.svg" in err and (folder / "r.svg").read_text().count("<svg") == 1


def test_missing_libraries(folder, capsys, monkeypatch):
    for module, arguments in (
        ("pyarrow", ["-o", "r.parquet"]),
        ("matplotlib", ["-o", "r.csv", "--plot", "x.svg"]),
        ("distributed", ["-o", "r.csv", "--scheduler", "tcp://127.0.0.1:1"]),
    ):
        with monkeypatch.context() as m:
            m.setitem(sys.modules, module, None)
            err = sweep(capsys, "host.py", "-p", "a=1", *arguments, code=1)[1]
        assert "MS1600" in err and f"needs the library {module}" in err and "pip install 'meshlang[s" in err


def test_on_a_cluster(folder, capsys):
    distributed = pytest.importorskip("distributed", reason="the extra serve is not installed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=None
    ) as cluster:
        options = ("--scheduler", cluster.scheduler_address, "-o", "r.csv", "--no-plot")
        _, err = sweep(capsys, "host.py", "-p", "a=1,2", "-p", "how=fine,killed", *options)
    assert "4 points, 2 failed" in err
    assert [(r["a"], r["how"], r["results.square"]) for r in rows()] == [
        ("1", "fine", "1"), ("1", "killed", ""), ("2", "fine", "4"), ("2", "killed", ""),
    ]  # fmt: skip


@pytest.mark.parametrize("says", [None, b"", b"x"])
def test_what_listens_there_may_be_no_scheduler(says, monkeypatch):
    """It says nothing, hangs up, or speaks first, as a scheduler does."""
    monkeypatch.setattr(dask_scheduler, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as door:
        address = f"tcp://127.0.0.1:{door.getsockname()[1]}"
        kept = []

        def answer():
            kept.append(door.accept()[0])
            if says is not None:
                kept[0].sendall(says)
                kept[0].close()

        with ThreadPoolExecutor(1) as pool:
            pool.submit(answer)
            if says:
                dask_scheduler.look_for(address)
            else:
                with pytest.raises(MeshlangError, match="no Dask scheduler answers"):
                    dask_scheduler.look_for(address)
        kept[0].close()


@pytest.mark.parametrize("address", ["", "nonsense", "tcp://", "tcp://host:", "host:99999", "tcp://a:b", "tcp://..:80"])
def test_addresses_that_are_none(address):
    with pytest.raises(MeshlangError) as found:
        dask_scheduler.look_for(address)
    assert found.value.diagnostics[0].code == "MS1652"


def test_no_scheduler_there(folder, capsys):
    pytest.importorskip("distributed", reason="the extra serve is not installed")
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    err = sweep(capsys, "host.py", "-p", "a=1", "-o", "r.csv", "--scheduler", f"tcp://127.0.0.1:{port}", code=1)[1]
    assert "MS1652" in err and f"no Dask scheduler answers at tcp://127.0.0.1:{port}" in err
    assert not list(folder.glob("*.points"))  # none without a point
    assert "'' is no address" in sweep(capsys, "host.py", "-p", "a=1", "-o", "r.csv", "--scheduler", "", code=1)[1]
