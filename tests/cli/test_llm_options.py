"""The options of `meshlang llm`: what each command has when nothing is said, and when everything is."""

from __future__ import annotations

import argparse
import json
from functools import partial
from types import SimpleNamespace

import pytest

from meshlang.cli import main
from meshlang.commands import llm

COMMON = {"mesh": None, "dtype": None, "sums": None, "regions": None, "json": False}
TIERS = {"pool": 256, "keep": None}
GENERATE = {
    **COMMON,
    **TIERS,
    "llm_command": "generate",
    "folder": "F",
    "prompt": ["a"],
    "tokens": None,
    "new": 20,
    "batch": False,
    "layers": "auto",
    "temperature": 0.0,
    "top_k": 0,
    "top_p": 1.0,
    "seed": 0,
    "stop": [],
    "ignore_eos": False,
    "arch": None,
    "profile": None,
}
PLACE = {
    **COMMON,
    "llm_command": "place",
    "folder": "F",
    "context": None,
    "prefill": None,
    "layers": "auto",
    "arch": None,
    "output": "m",
}


def parsed(line):
    parser = argparse.ArgumentParser()
    llm.configure(parser)
    return vars(parser.parse_args(line.split()))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("generate F --prompt a", GENERATE),
        ("info F", {**COMMON, "llm_command": "info", "folder": "F", "context": None}),
        ("place F -o m", PLACE),
        ("load a b", {**TIERS, "llm_command": "load", "images": ["a", "b"], "json": False, "again": False}),
        (
            "move a b --tokens 1,2",
            {
                "llm_command": "move",
                "source": "a",
                "target": "b",
                "tokens": "1,2",
                "at": "32",
                "clock": None,
                "json": False,
            },
        ),
        (
            "generate F --tokens 1 --tokens 2 --new 3 --batch --layers pipeline --temperature 0.5 --top-k 4 --top-p 0.6 --seed 7 "
            "--stop x --stop y --ignore-eos --arch wse2 --profile wse2 --mesh 2x3 --dtype f16 --sums f32 --regions 2 --json --pool 8 --keep K",
            GENERATE
            | {"tokens": ["1", "2"], "prompt": None, "new": 3, "batch": True, "layers": "pipeline", "temperature": 0.5}
            | {"top_k": 4, "top_p": 0.6, "seed": 7, "stop": ["x", "y"], "ignore_eos": True, "arch": "wse2"}
            | {
                "profile": "wse2",
                "mesh": "2x3",
                "dtype": "f16",
                "sums": "f32",
                "regions": 2,
                "json": True,
                "pool": 8,
                "keep": "K",
            },
        ),
        (
            "place F -o m --context 9 --prefill 4 --layers streamed --arch wse3 --json",
            PLACE | {"context": 9, "prefill": 4, "layers": "streamed", "arch": "wse3", "json": True},
        ),
    ],
)
def test_options(line, expected):
    found = parsed(line)
    assert {name: found[name] for name in expected} == expected and set(found) - {"_parser"} == set(expected)


@pytest.mark.parametrize(
    "line",
    [
        "generate F",
        "generate F --prompt a --tokens 1",
        "place F",
        "load",
        "move a b",
        "generate F --tokens 1 --layers x",
    ],
)
def test_what_is_missing_or_too_much(line, capsys):
    with pytest.raises(SystemExit) as ended:
        parsed(line)
    assert ended.value.code == 2 and "usage:" in capsys.readouterr().err


def test_cycles_are_those_of_a_token_or_of_a_step(capsys):
    """Of one sequence each token took its cycles; of several decoded at the same time each step."""
    runner = SimpleNamespace(
        place=SimpleNamespace(
            width=4, height=2, dtype=SimpleNamespace(name="float16"), pieces=1, batch=1, layers=2, head_stays=True
        ),
        prefilled=0,
        settle_cycles=0,
        prefill_cycles=0,
    )
    turns = [SimpleNamespace(cycles=[1200, 1100], stopped="end"), SimpleNamespace(cycles=[1300], stopped="length")]
    mode = llm._mode
    llm._mode = lambda runner: "resident"
    try:
        llm._summary(runner, turns, 2.4)
        one = capsys.readouterr().err
        runner.place.batch, runner.place.pieces = 2, 3
        runner.prefilled, runner.prefill_cycles, runner.settle_cycles = 7, 9000, 1000
        llm._summary(runner, turns, 2.4)
        several = capsys.readouterr().err
    finally:
        llm._mode = mode
    assert one == (
        "4 x 2 PEs, f16, layers resident, output projection in 1 piece; 2 s\n"
        "decoding 1,100 to 1,300 cycles a token; stopped: length\n"
    )
    assert several == (
        "4 x 2 PEs, f16, layers resident, output projection in 3 pieces, batch 2; 2 s\n"
        "prefill of 7 tokens 9,000 cycles, hand-over 1,000\n"
        "decoding 1,100 to 1,300 cycles a step; stopped: end, length\n"
    )


REPORTS = [
    {"image": "m", "seconds": 2.0, "tiers": {"remote": 3_000_000, "disk": 500_000}},
    {
        "image": "m",
        "seconds": 0.5,
        "tiers": {"host": 3_500_000},
        "predicted": {"all": 0.4},
        "measured": 0.5,
        "error": -0.2,
    },
]


@pytest.fixture
def loading(monkeypatch):
    """Images that load at once, and say what is in REPORTS; returns what was written to fabrics."""
    written, reports = [], iter(REPORTS)

    def opened(where):
        image = SimpleNamespace(program=SimpleNamespace(start=lambda: f"fabric of {where}"), last=None)
        return image

    class Loader:
        stations = {"remote": None, "disk": None, "fabric": None}
        pool = SimpleNamespace(locked=False)
        open = staticmethod(opened)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def bandwidth(self, name):
            return {"remote": 1.5e9, "disk": 20e6, "fabric": 0.0}[name]

    class Store:
        def __init__(self, image):
            self.image = image

        def write_model(self, fabric):
            written.append(fabric)
            self.image.last = SimpleNamespace(report=partial(next, reports))

    monkeypatch.setattr("meshlang.serve.image.ImageStore", Store)
    monkeypatch.setattr(llm, "_loader", lambda args, once: Loader())
    return written


def test_what_load_says(loading, capsys):
    """Of each load where its bytes came from, and the prediction where there was one."""
    assert main(["llm", "load", "m", "--again"]) == 0
    assert capsys.readouterr().out == (
        "bandwidths: remote 1,500 MB/s, disk 20 MB/s; the pool is not locked in memory\n"
        "m: 2.000 s, 3.0 MB from remote, 0.5 MB from disk\n"
        "m: 0.500 s, 3.5 MB from host; predicted 0.400 s, measured 0.500 s, error -20%\n"
    )
    assert loading == ["fabric of m"] * 2


def test_what_load_says_as_data(loading, capsys):
    assert main(["llm", "load", "m", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "ok": True,
        "exit_code": 0,
        "loads": [REPORTS[:1]],
        "bandwidths": {"remote": 1.5e9, "disk": 20e6, "fabric": 0.0},
        "pool_locked": False,
    }
