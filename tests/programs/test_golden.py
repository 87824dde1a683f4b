"""Golden outputs: what `meshlang run` prints for every program: values, cycles, resources.

Run pytest with MESHLANG_UPDATE_GOLDEN=1 to write them anew; read the difference before committing it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from meshlang.cli import main

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parent / "golden"

RUNS = [
    ["hello"],
    ["hello", "--arch", "wse3"],
    ["gemv"],
    ["gemv", "-p", "width=1"],
    ["gemv", "-p", "width=3", "-p", "M=5", "-p", "N=7"],
    ["gemv", "-p", "width=2", "--arch", "wse3"],
    ["meshgemv"],
    ["meshgemv", "--arch", "wse3"],
    ["meshgemv", "-p", "P=2"],
    ["meshgemv", "-p", "P=5", "-p", "M=17", "-p", "N=23", "-p", "groups=5"],
    ["meshgemv", "-p", "P=7", "-p", "groups=1", "-p", "f32=true"],
    ["meshgemv", "-p", "P=16", "-p", "M=128", "-p", "N=128", "-p", "groups=4", "-p", "repeat=3", "--arch", "wse3"],
    ["meshgemv", "-p", "P=9", "-p", "K=3", "-p", "rows=true", "-p", "f32_sum=true"],
    ["meshgemm"],
    ["meshgemm", "--arch", "wse3"],
    ["meshgemm", "-p", "P=2"],
    ["meshgemm", "-p", "P=5", "-p", "M=17", "-p", "K=12", "-p", "N=23", "-p", "repeat=2"],
    ["meshgemm", "-p", "P=3", "-p", "f32=true"],
    ["meshgemm", "-p", "P=4", "-p", "f32_sum=true", "--arch", "wse3"],
    ["meshgemm", "-p", "P=7", "-p", "cannon=true"],
    ["meshgemm", "-p", "P=16", "-p", "M=128", "-p", "K=128", "-p", "N=128", "--arch", "wse3"],
    ["allreduce"],
    ["allreduce", "-p", "sizes=2,9", "-p", "n=21", "-p", "f32=true", "-p", "max=true", "--arch", "wse3"],
    ["compare_gemv"],
    ["compare_gemv", "-p", "sizes=3,12", "-p", "tile=5", "-p", "rows=true", "--arch", "wse3"],
    ["compare_gemm"],
    ["compare_gemm", "-p", "sizes=3,5,12", "-p", "tile=3", "--arch", "wse3"],
    ["compare_gemm", "-p", "sizes=4x6,8x4", "-p", "f32=true", "--arch", "wse3"],
    ["compare_gemm", "-p", "sizes=3,6", "-p", "sync=true", "-p", "f32_sum=true", "--arch", "wse3"],
]


def name_of(arguments: list[str]) -> str:
    return "_".join(a.removeprefix("--").replace("=", "") for a in arguments if a not in ("-p",))


@pytest.mark.parametrize("arguments", RUNS, ids=name_of)
def test_golden(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # sim.log and other files a run may leave
    code = main(["run", str(ROOT / "programs" / arguments[0]), *arguments[1:]])
    text = capsys.readouterr().out.replace(str(ROOT), "")
    assert code == 0
    file = GOLDEN / f"{name_of(arguments)}.txt"
    if os.environ.get("MESHLANG_UPDATE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("P", [2, 3, 4, 6, 9])
def test_meshgemv_every_group_count(P, capsys, tmp_path, monkeypatch):
    """The program compares itself with numpy; exit code 0 says that it agreed."""
    monkeypatch.chdir(tmp_path)
    for groups in range(1, P + 1):
        for arch in ("wse2", "wse3"):
            assert (
                main(
                    [
                        "run",
                        str(ROOT / "programs/meshgemv"),
                        "-p",
                        f"P={P}",
                        "-p",
                        f"groups={groups}",
                        "-p",
                        "M=11",
                        "-p",
                        "N=13",
                        "--arch",
                        arch,
                    ]
                )
                == 0
            ), capsys.readouterr()


def test_meshgemv_bad_parameters(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = str(ROOT / "programs/meshgemv")
    assert main(["run", folder, "-p", "P=1"]) == 1
    assert "P >= 2" in capsys.readouterr().err
    assert main(["run", folder, "-p", "P=4", "-p", "groups=5"]) == 1
    assert "note: groups is 5, N is 4" in capsys.readouterr().err
    assert main(["run", folder, "-p", "Q=4"]) == 2
    assert "Q" in capsys.readouterr().err


def test_meshgemm_bad_parameters(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = str(ROOT / "programs/meshgemm")
    assert main(["run", folder, "-p", "P=1"]) == 1
    assert "P >= 2" in capsys.readouterr().err
    assert main(["run", folder, "-p", "P=2", "-p", "K=-3"]) == 1
    assert "must be positive, found 8, -3, 8 and 1" in capsys.readouterr().err
    assert main(["run", folder, "-p", "P=2", "-p", "M=256", "-p", "K=256", "-p", "N=256"]) == 1
    assert "the tiles do not fit" in capsys.readouterr().err
    assert main(["run", str(ROOT / "programs/gemv"), "-p", "width=0"]) == 1
    assert "must be positive, found 0, 6 and 8" in capsys.readouterr().err
    assert main(["run", str(ROOT / "programs/compare_gemv"), "-p", "lines=-1"]) == 1
    assert "lines is 0 or positive, found -1" in capsys.readouterr().err
    for name, tile in (("allreduce", "n"), ("compare_gemv", "tile")):
        folder = str(ROOT / "programs" / name)
        assert main(["run", folder, "-p", "sizes=1,4"]) == 1
        assert "start at 2" in capsys.readouterr().err
        assert main(["run", folder, "-p", f"{tile}=0"]) == 1
        assert "and 0" in capsys.readouterr().err
    folder = str(ROOT / "programs/compare_gemm")
    assert main(["run", folder, "-p", "sizes=1,4"]) == 1
    assert "mesh sizes start at 2" in capsys.readouterr().err
    assert main(["run", folder, "-p", "sizes=4,8y2"]) == 1
    assert "found '8y2' in sizes" in capsys.readouterr().err
    assert main(["run", folder, "-p", "sizes=16", "-p", "tile=32"]) == 1
    assert "more than 40 KB" in capsys.readouterr().err
