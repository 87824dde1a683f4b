"""The command line: exit codes, messages, JSON, and that a user's mistake never shows a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import meshlang
from meshlang.cli import COMMANDS, main

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))
from host_programs import write_program

HOST = """
import numpy as np
import meshlang
args = meshlang.params(W=3, times=1)
context = meshlang.run_context()
with meshlang.compile("layout.csl", params={"W": args["W"]}).start() as fabric:
    fabric.launch("scale", 2.0, args["times"])
    context.result(a=fabric.read("a"), seed=context.seed)
print("from the host script")
"""

VENDOR = """
import argparse, json
import numpy as np
from cerebras.sdk.runtime.sdkruntimepybind import SdkRuntime, MemcpyDataType, MemcpyOrder
parser = argparse.ArgumentParser()
parser.add_argument("--name")
parser.add_argument("--launch", default="scale")
args = parser.parse_args()
width = int(json.load(open(args.name + "/out.json"))["params"]["W"])
runner = SdkRuntime(args.name)
runner.load()
runner.run()
runner.launch(args.launch, *([np.float32(2), np.int16(1)] if args.launch == "scale" else []), nonblock=False)
out = np.zeros(width * 2 * 4, np.float32)
runner.memcpy_d2h(out, runner.get_id("a"), 0, 0, width, 2, 4, streaming=False, data_type=MemcpyDataType.MEMCPY_32BIT,
                  order=MemcpyOrder.ROW_MAJOR, nonblock=False)
runner.stop()
assert (out.reshape(-1, 4) == [2, 4, 6, 8]).all()
print("SUCCESS!")
"""


@pytest.fixture()
def folder(tmp_path, monkeypatch):
    write_program(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args: str, code: int = 0, capsys=None) -> tuple[str, str]:
    """Run in this process; returns what was printed."""
    try:
        got = main(list(args))
    except SystemExit as exit_:
        got = exit_.code
    out, err = capsys.readouterr()
    assert got == code, (got, out, err)
    assert "Traceback" not in err
    return out, err


def command(*args: str, **kwargs) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "meshlang", *args], capture_output=True, text=True, **kwargs)


def test_version_is_quick():
    def used() -> float:  # the processor's time: the machine may be busy with other things
        times = os.times()
        return times.children_user + times.children_system

    best = 9.0
    for _ in range(3):
        start = used()
        result = command("--version")
        best = min(best, used() - start)
    assert result.stdout == f"meshlang {meshlang.__version__}\n" and result.returncode == 0
    assert best < 0.2


@pytest.mark.parametrize("code", ["import meshlang", "from meshlang.cli import main; main(['--version'])"])
def test_the_package_loads_nothing_heavy(code):
    code += "; import sys; print([m for m in ('numba', 'lark', 'numpy', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_needs_nothing_heavy():
    code = (
        "import sys; from meshlang.cli import build_parser; build_parser().format_help();"
        "print([m for m in ('numba', 'lark', 'numpy', 'rich') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples(name, capsys):
    out, _ = run(name, "--help", capsys=capsys)
    assert "examples:" in out and f"meshlang {name}" in out


def test_usage(capsys, monkeypatch):
    assert "COMMAND" in run(code=2, capsys=capsys)[1]
    assert "invalid choice" in run("rum", code=2, capsys=capsys)[1]
    assert "MS0905" in run("run", ".", "-p", "P", code=2, capsys=capsys)[1]
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    assert "which script" in run("cs_python", code=2, capsys=capsys)[1]
    assert "has no option -Z" in run("cs_python", "-Z", "x.py", code=2, capsys=capsys)[1]
    assert "which command" in run("sdk", code=2, capsys=capsys)[1]


def test_explain(capsys):
    assert "Unknown host symbol" in run("explain", "MS0910", capsys=capsys)[0]
    assert run("explain", "910", capsys=capsys)[0] == run("explain", "ms0910", capsys=capsys)[0]
    assert "MS0101" in run("explain", capsys=capsys)[0]
    assert "MS0920" in run("explain", "MS0999", code=2, capsys=capsys)[1]


def test_check(folder, capsys):
    assert "no errors" in run("check", "layout.csl", capsys=capsys)[0]
    assert "no errors" in run("check", ".", "-p", "W=2", capsys=capsys)[0]
    assert "pe.csl" in run("check", "layout.csl", "--listing", capsys=capsys)[0]
    assert json.loads(run("check", "layout.csl", "--json", capsys=capsys)[0]) == {
        "ok": True,
        "exit_code": 0,
        "diagnostics": [],
    }
    assert "MS0901" in run("check", "nothing.csl", code=1, capsys=capsys)[1]
    assert "no layout block" in run("check", "pe.csl", capsys=capsys)[0]
    (folder / "notes.md").write_text("# notes")
    assert "MS0905" in run("check", "notes.md", code=2, capsys=capsys)[1]
    (folder / "pe.csl").write_text("comptime { const x: i16 = 1.5; }\n")
    err = run("check", "layout.csl", code=1, capsys=capsys)[1]
    assert "pe.csl:1" in err
    report = json.loads(run("check", "layout.csl", "--json", code=1, capsys=capsys)[0])
    assert report["exit_code"] == 1 and report["diagnostics"][0]["code"].startswith("MS")


def test_run_layout(folder, capsys):
    np.save("b.npy", np.arange(36, dtype=np.uint16).reshape(2, 3, 6))
    out, _ = run(
        "run",
        "layout.csl",
        "--set",
        "b=b.npy",
        "--launch",
        "scale,2,3",
        "--get",
        "a",
        "--get",
        "b=out.npy",
        capsys=capsys,
    )
    assert (
        "a = float32 [2, 3, 4]" in out
        and " cycles (wse2 profile, accuracy A)" in out
        and "3 x 2 rectangle, 6 PEs" in out
    )
    assert "PE(0,0): 7 00FF" in out
    assert np.array_equal(np.load("out.npy"), np.load("b.npy"))


def test_run_json_random_and_zeros(folder, capsys):
    def values(*more):
        out, _ = run(
            "run",
            "layout.csl",
            "--launch",
            "none",
            "--set",
            "a=random",
            "--set",
            "b=zeros",
            "--get",
            "a",
            "--json",
            *more,
            capsys=capsys,
        )
        return json.loads(out)

    first = values("--seed", "1")
    assert first["results"] == values("--seed", "1")["results"] != values("--seed", "2")["results"]
    assert np.abs(first["results"]["a"]).max() <= 1
    assert first["ok"] and first["runs"][0]["resources"]["pes"] == 6 and first["runs"][0]["cycles"] >= 1


@pytest.mark.parametrize(
    "args, exit_code, code",
    [
        (("--launch", "nope"), 1, "MS0915"),
        (("--launch", "scale,2"), 1, "MS0916"),
        (("--launch", "scale,2,x"), 1, "MS0917"),
        (("--launch", "forget"), 3, "MS0856"),
        (("--launch", "spin", "--max-cycles", "500"), 1, "MS0919"),
        (("--get", "nope"), 1, "MS0910"),
        (("--set", "a"), 2, "MS0905"),
        (("--set", "a=nope.npy"), 1, "MS0901"),
        (("--set", "a=layout.csl"), 1, "MS0901"),
        (("-p", "nope=1"), 1, "MS0217"),
        (("--max-cycles", "0"), 2, "MS0905"),
        (("--profile", "wse9"), 1, "MS0841"),
        (("--get", "a=no/where.npy"), 2, "there is no folder no"),
        (("--get", "a=a.bmp"), 2, "--get a.bmp: expected a file that ends in .npy, .txt, .csv or .json"),
        (("--launch", "spin", "--get", "a=a.bmp"), 2, "MS0905"),  # before the run, which would not end
    ],
)
def test_run_mistakes(folder, capsys, args, exit_code, code):
    assert code in run("run", "layout.csl", *args, code=exit_code, capsys=capsys)[1]


def test_functions_that_nobody_calls_are_named(folder, capsys):
    assert "scale(f32, i16)" in (err := run("run", "layout.csl", capsys=capsys)[1]) and "--launch" in err
    assert run("run", "layout.csl", "--launch", "none", capsys=capsys)[1] == ""


@pytest.mark.parametrize(
    "args, message",
    [
        (("run", "x", "--bogus"), "meshlang run: error: unrecognized arguments: --bogus"),
        (("run", "x", "--trase=x.html"), "did you mean --trace?"),
        (
            ("llm", "info", "x", "--mseh", "4x4"),
            "meshlang llm info: error: unrecognized arguments: --mseh 4x4; did you mean --mesh?",
        ),
    ],
)
def test_a_wrong_option_is_answered_by_its_command(args, message, capsys):
    with pytest.raises(SystemExit) as left:
        main(args)
    assert left.value.code == 2 and message in capsys.readouterr().err


REFUSING = "run check lint fmt profile report repl csdb".split()


@pytest.mark.parametrize("command", REFUSING)
def test_what_the_system_refuses_is_no_traceback(command, folder, capsys):
    """A name that is too long stands for all that `stat` fails with; it does so for every user."""
    said = "".join(run(command, "x" * 300, code=1, capsys=capsys))
    assert "MS0901" in said and "name too long" in said and "internal error" not in said


@pytest.mark.parametrize("command", [*REFUSING, "conformance"])
def test_a_folder_that_is_not_open(command, folder, capsys):
    (folder / "shut").mkdir(mode=0)
    if os.access(folder / "shut", os.R_OK):
        pytest.skip("this user may enter every folder")
    said = "".join(run(command, "shut", code=1, capsys=capsys))
    assert "MS0901" in said and "permission denied" in said and "internal error" not in said


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full disk")
def test_a_full_disk():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-u", "-m", "meshlang", "explain"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr == "error[MS0901]: cannot go on: no space left on device\n"


def test_run_mistakes_as_json(folder, capsys):
    out, _ = run("run", "layout.csl", "--launch", "forget", "--json", code=3, capsys=capsys)
    assert json.loads(out)["diagnostics"][0]["code"] == "MS0856"


def test_run_program_folder(folder, capsys):
    (folder / "run.py").write_text(HOST)
    out, _ = run("run", str(folder), "-p", "W=2", capsys=capsys)
    assert "from the host script" in out and "2 x 2 rectangle" in out
    out, err = run("run", str(folder / "run.py"), "-p", "times=2", "--seed", "5", "--json", capsys=capsys)
    report = json.loads(out)
    assert report["results"]["a"][0][0] == [4, 8, 12, 16] and report["results"]["seed"] == 5
    assert "from the host script" in err
    err = run("run", str(folder), "-p", "w=2", code=2, capsys=capsys)[1]
    assert "MS0904" in err and "W" in err and "run.py:4" in err
    assert "no use here" in run("run", str(folder), "--get", "a", code=2, capsys=capsys)[1]
    assert subprocess.run([sys.executable, "run.py"], capture_output=True, text=True).stdout == "from the host script\n"


def test_a_program_folder_has_its_own_layout(folder, capsys):
    write_program(folder / "program")
    (folder / "program" / "run.py").write_text(HOST)
    (folder / "layout.csl").write_text("another program's")
    assert "3 x 2 rectangle" in run("run", "program", capsys=capsys)[0]


def test_a_host_scripts_own_exception_is_its_own(folder):
    (folder / "run.py").write_text("import meshlang\n\ndef f():\n    return 1 / 0\n\nf()\n")
    result = command("run", ".")
    assert result.returncode == 1 and "ZeroDivisionError" in result.stderr
    assert 'run.py", line 6' in result.stderr and "meshlang/host/script.py" not in result.stderr
    (folder / "run.py").write_text("import sys\nsys.exit(7)\n")
    assert command("run", ".").returncode == 7


def test_cslc_and_cs_python(folder, capsys):
    run(
        "cslc",
        "--arch",
        "wse2",
        "./layout.csl",
        "--fabric-dims=9,4",
        "--fabric-offsets=4,1",
        "--params=W:2",
        "--params=H:2",
        "--o=out",
        "--memcpy",
        "--channels",
        "1",
        "--width-west-buf=0",
        "--width-east-buf=0",
        capsys=capsys,
    )
    assert json.loads((folder / "out" / "out.json").read_text())["params"]["W"] == "2"
    (folder / "host.py").write_text(VENDOR)
    result = command("cs_python", "host.py", "--name", "out")
    assert (result.returncode, result.stdout) == (0, "SUCCESS!\n"), result.stderr
    result = command("cs_python", "host.py", "--name", "out", "--launch", "forget")
    assert result.returncode == 3 and "MS0856" in result.stderr and "Traceback" not in result.stderr
    assert "host.py:13" in result.stderr
    result = command("cs_python", "host.py", "--name", "out", "--launch", "nope")
    assert result.returncode == 1 and "MS0915" in result.stderr and "Traceback" not in result.stderr
    script = (
        "import cerebras.sdk.client as c\nfrom cerebras.sdk.runtime.sdkruntimepybind import get_platform\n"
        "try: c.SdkCompiler().compile('.', 'nope.csl')\nexcept Exception as error: print(error)\n"
        "get_platform('10.0.0.1:9000')"
    )
    result = command("cs_python", "-c", script)
    assert result.returncode == 1 and "MS0966" in result.stdout and "nope.csl" in result.stdout
    assert "MS0922" in result.stderr and "Traceback" not in result.stderr


def test_cslc_says_its_version(capsys):
    """Scripts of a job print which compiler they run with."""
    with pytest.raises(SystemExit) as end:
        main(["cslc", "--version"])
    assert end.value.code == 0 and capsys.readouterr().out == f"meshlang {meshlang.__version__}\n"


@pytest.mark.parametrize(
    "args, code",
    [
        (("--params=W=2",), 2),
        (("--params=W:x",), 2),
        (("--params=W:-1",), 2),
        (("--channels=0",), 2),
        (("--fabric-dims=3",), 2),
        (("--fabric-dims=3,2", "--fabric-offsets=4,1"), 1),
        (("--params=W:2", "--memcpy", "--fabric-dims=8,4", "--fabric-offsets=4,1"), 2),
        (("--params=W:2", "--memcpy", "--fabric-dims=9,3", "--fabric-offsets=4,1"), 2),
        (("--params=W:2", "--memcpy", "--fabric-dims=20,20", "--fabric-offsets=3,1"), 2),
        (("--params=W:2", "--memcpy", "--fabric-dims=9,4", "--fabric-offsets=4,1", "--width-east-buf=1"), 2),
        (("--params=nope:1",), 1),
    ],
)
def test_cslc_mistakes(folder, capsys, args, code):
    assert "MS0" in run("cslc", "layout.csl", *args, code=code, capsys=capsys)[1]


def test_cslc_options_that_place_sections(folder, capsys):
    """They are accepted, and have no effect: said, as a warning."""
    given = ("--link-section-start-address-bytes=tables:32768", "--link-section-start-addresses", "a:1")
    for options in (given[:1], given[1:], given):
        error = run("cslc", "layout.csl", "--params=W:2", *options, capsys=capsys)[1]
        assert error.count("warning[MS1504]") == sum("--" in o for o in options) and "has no effect" in error
    assert "MS1504" not in run("cslc", "layout.csl", "--params=W:2", capsys=capsys)[1]
    error = run("cslc", "layout.csl", "--params=W:2", *given, "--warnings-as-errors", code=1, capsys=capsys)[1]
    assert "2 warnings, and --warnings-as-errors was given" in error


def test_sdk(folder):
    (folder / "host.py").write_text(VENDOR)
    (folder / "commands.sh").write_text(
        "set -e\ncslc layout.csl --params=W:2 -o out --memcpy --channels 1\ncs_python host.py --name out\n"
    )
    result = command("sdk", "--", "bash", "commands.sh")
    assert (result.returncode, result.stdout) == (0, "SUCCESS!\n"), result.stderr
    assert command("sdk", "--", "bash", "-c", "exit 9").returncode == 9
    assert command("sdk", "bash", "-c", "cslc nothing.csl").returncode == 1
    assert command("sdk", "--", "cslc", "layout.csl").returncode == 0
    result = command("sdk", "--", "python", "-c", "import cerebras.sdk.sdk_utils as u; print(u.memcpy_view.__name__)")
    assert result.stdout == "memcpy_view\n"
    result = command("sdk", "--", "no-such-command")
    assert result.returncode == 2 and "MS0921" in result.stderr
    result = command("sdk", "--", "./commands.sh")
    assert result.returncode == 2 and "bash ./commands.sh" in result.stderr


def test_sdk_reads_placeholders(tmp_path, monkeypatch):
    # published scripts of SdkLayout examples say %python_sdk_paint where `cs_python run.py` is meant
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.py").write_text("import sys, cerebras.sdk; print('ran with', sys.argv[1:])")
    (tmp_path / "commands.sh").write_text(
        "set -e\necho $0 $1 100%full\nif true; then\n  %python_sdk_paint --arch=$1\nfi\n"
    )
    result = command("sdk", "--", "bash", "commands.sh", "wse2")
    assert (result.returncode, result.stdout) == (0, "commands.sh wse2 100%full\nran with ['--arch=wse2']\n"), (
        result.stderr
    )


def test_nothing_named_cerebras_is_importable_elsewhere():
    code = "import importlib.util; print(importlib.util.find_spec('cerebras'))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "None\n"


def test_run_compiled_folder(folder, capsys):
    run("cslc", "layout.csl", "-o", "out", capsys=capsys)
    assert "a = float32" in run("run", "out", "--launch", "swap", "--get", "a", capsys=capsys)[0]
    assert "no use here" in run("run", "out", "-p", "W=2", code=2, capsys=capsys)[1]


def test_a_defect_of_ours_is_named_as_one(monkeypatch, capsys, tmp_path):
    """Whatever a user wrote, what they see is no traceback; MESHLANG_TRACEBACK=1 shows it to those who mend it."""
    from meshlang.commands import check

    def fail(args):
        raise LookupError("missing")

    monkeypatch.setattr(check, "execute", fail)
    monkeypatch.delenv("MESHLANG_TRACEBACK", raising=False)
    assert main(["check", "x.csl"]) == 70
    text = capsys.readouterr().err
    assert text.startswith("meshlang: internal error: LookupError: missing") and "MESHLANG_TRACEBACK=1" in text
    monkeypatch.setenv("MESHLANG_TRACEBACK", "1")
    with pytest.raises(LookupError):
        main(["check", "x.csl"])


def test_a_missing_package_of_the_vendors_sdk_is_named(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "scipy", None)  # as if it were not installed
    (folder / "run.py").write_text("import scipy.sparse\n")
    assert main(["cs_python", "run.py"]) == 1
    err = capsys.readouterr().err
    assert "ModuleNotFoundError" in err and "pip install 'meshlang[scripts]'" in err


def test_a_reader_that_goes_away_is_no_mistake_of_a_script(folder):
    (folder / "run.py").write_text("import sys\nfor i in range(100000): print('line', i)\n")
    result = subprocess.run(f"{sys.executable} -m meshlang run . | head -1", shell=True, capture_output=True, text=True)
    assert result.stdout == "line 0\n" and result.stderr == ""
