"""The appliance client on this machine: compile jobs, SdkRuntime on artifacts, SdkLauncher; and core files."""

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from host_programs import write_program

from meshlang.diag import MeshlangError
from meshlang.host.sdk.appliance import SdkCompiler, SdkLauncher, SdkRuntime, _output_name, unpack
from meshlang.host.sdk.debug import debug_util
from meshlang.host.sdk.runtime import MemcpyDataType, MemcpyOrder
from meshlang.host.sdk.runtime import SdkRuntime as LocalRuntime

ARGUMENTS = "--fabric-dims=10,4 --fabric-offsets=4,1 --params=W:2 -o job --memcpy --channels=1"
COPY = {"streaming": False, "data_type": MemcpyDataType.MEMCPY_32BIT, "order": MemcpyOrder.ROW_MAJOR, "nonblock": False}

RUN = """
import argparse
import numpy as np
from cerebras.sdk.runtime.sdkruntimepybind import SdkRuntime
parser = argparse.ArgumentParser()
parser.add_argument("--name")
parser.add_argument("--cmaddr")
args = parser.parse_args()
runner = SdkRuntime(args.name, cmaddr=args.cmaddr)
runner.load()
runner.run()
runner.launch("scale", np.float32(3), np.int16(1), nonblock=False)
runner.dump_core("corefile.cs1")
runner.stop()
print("SUCCESS!")
"""


def code_of(info) -> str:
    return info.value.diagnostics[0].code


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A code folder and the artifact of it."""
    folder = tmp_path_factory.mktemp("appliance")
    (folder / "src").mkdir()
    layout = write_program(folder / "src")
    (folder / "src" / ".hidden").write_text("x")
    with SdkCompiler(resource_cpu=48000, resource_mem=64 << 30, disable_version_check=True) as compiler:
        artifact = compiler.compile(str(folder / "src"), Path(layout).name, ARGUMENTS, str(folder / "artifacts"))
    return folder, artifact


def test_artifact(job):
    folder, artifact = job
    assert Path(artifact).parent == folder / "artifacts" and artifact.endswith(".tar.gz")
    with tarfile.open(artifact) as archive:
        names = archive.getnames()
    assert "job/bin/program.json" in names and "layout.csl" in names and ".hidden" not in names
    assert not (folder / "src" / "job").exists()


def test_older_names_of_the_arguments(job):
    folder, artifact = job
    again = SdkCompiler().compile(
        app_path=folder / "src", csl_main="layout.csl", options=ARGUMENTS, out_path=folder / "mine.tar.gz"
    )
    assert again == str(folder / "mine.tar.gz")
    with tarfile.open(again) as one, tarfile.open(artifact) as other:
        assert one.getnames() == other.getnames()


@pytest.mark.parametrize("text, name", [("-o a", "a"), ("--arch wse3 -o=b", "b"), ("--o c", "c"), ("--memcpy", "out")])
def test_output_name(text, name):
    assert _output_name(text.split()) == name


def test_runtime(job, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with SdkRuntime(job[1], simulator=False, disable_version_check=True) as runner:
        runner.launch("scale", np.float32(2), np.int16(2), nonblock=False)
        out = np.zeros(2 * 2 * 4, np.float32)
        runner.memcpy_d2h(out, runner.get_id("a"), 0, 0, 2, 2, 4, **COPY)
    assert np.array_equal(out.reshape(4, 4), [[4, 8, 12, 16]] * 4)
    assert debug_util(job[1]).read_trace(4, 1, "steps") == [2, 2, "done"]


def test_launcher(job, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.py").write_text(RUN)
    (tmp_path / "note.txt").write_text("hello")
    with SdkLauncher(job[1], simulator=True) as launcher:
        launcher.stage("run.py")
        launcher.stage("note.txt")
        assert launcher.run("echo one", "cat note.txt") == "one\nhello"
        assert "SUCCESS!" in launcher.run("cs_python run.py --name job --cmaddr %CMADDR%")
        assert "SUCCESS!" in launcher.run("cs_python run.py --name job --cmaddr=%CMADDR%")
        assert launcher.download_artifact("corefile.cs1", "results/core") == "results/core"
        assert launcher.download_artifact("job", "results/job") == "results/job.tar.gz"
        with pytest.raises(MeshlangError) as info:
            launcher.run("echo before; exit 3")
        assert code_of(info) == "MS0966" and info.value.exit_code == 3
        for wrong in (lambda: launcher.stage("nope"), lambda: launcher.download_artifact("nope", "x")):
            with pytest.raises(MeshlangError) as info:
                wrong()
            assert code_of(info) == "MS0966"
    with pytest.raises(MeshlangError) as info:
        launcher.run("echo late")
    assert code_of(info) == "MS0966"
    # the core of that run, seen from here
    unpack("results/job.tar.gz", tmp_path)
    seen = debug_util("job", core="results/core")
    assert seen.get_symbol(4, 1, "a", np.float32).tolist() == [3, 6, 9, 12]
    assert seen.read_trace(5, 2, "steps") == [1, "done"]


def test_mistakes(job, tmp_path):
    folder, artifact = job
    with pytest.raises(MeshlangError) as info:
        SdkCompiler().compile(str(folder / "src"), "nope.csl", "", str(tmp_path))
    assert code_of(info) == "MS0966"
    with pytest.raises(MeshlangError) as info:
        SdkCompiler().compile(str(folder / "nowhere"), "layout.csl", "")
    assert code_of(info) == "MS0966"
    (tmp_path / "no.tar.gz").write_text("no archive")
    (tmp_path / "empty").mkdir()
    for wrong in (tmp_path / "no.tar.gz", tmp_path / "absent.tar.gz", tmp_path / "empty"):
        with pytest.raises(MeshlangError) as info:
            SdkRuntime(wrong)
        assert code_of(info) == "MS0966"
    with pytest.raises(TypeError, match="resource_gpu"):
        SdkCompiler(resource_gpu=1)


def test_cores(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program.save("out")
    with pytest.raises(MeshlangError) as info:
        debug_util("out")
    assert code_of(info) == "MS0927" and "corefile.cs1" in info.value.diagnostics[0].message
    runner = LocalRuntime("out")
    with pytest.raises(MeshlangError) as info:
        runner.dump_core("corefile.cs1")
    assert code_of(info) == "MS0925"
    runner.load()
    runner.run()
    runner.launch("scale", np.float32(5), np.int16(1), nonblock=False)
    runner.dump_core("corefile.cs1")
    here = debug_util("out")  # the run is not stopped: the core is looked at
    assert here.get_symbol_rect(((0, 0), (3, 2)), "a", np.float32)[2, 1].tolist() == [5, 10, 15, 20]
    script = (
        "from cerebras.sdk.debug.debug_util import debug_util\n"
        "d = debug_util('out')\n"
        "print(d.get_symbol(1, 1, 'n', 'int16'), d.read_trace(0, 0, 'steps'))\n"
    )
    result = subprocess.run(
        [sys.executable, "-m", "meshlang", "cs_python", "-c", script], capture_output=True, text=True
    )
    assert result.stdout == "[-5] [1, 'done']\n", result.stderr
    result = subprocess.run(
        [sys.executable, "-m", "meshlang", "csdb", "."], input="vars 2,1\n", capture_output=True, text=True
    )
    assert result.returncode == 0 and "n: i16 = -5" in result.stdout and "5.0 10.0 15.0 20.0" in result.stdout, (
        result.stdout + result.stderr
    )
    result = subprocess.run(
        [sys.executable, "-m", "meshlang", "csdb", "out", "--core", "nope"], capture_output=True, text=True
    )
    assert result.returncode == 1 and "MS0901" in result.stdout + result.stderr
    Path("empty").mkdir()
    result = subprocess.run([sys.executable, "-m", "meshlang", "csdb", "empty"], capture_output=True, text=True)
    assert result.returncode == 2 and "compiled program" in result.stderr
    for damaged in (b"no core", b"PK\x03\x04 the beginning of an archive", b""):
        Path("corefile.cs1").write_bytes(damaged)
        with pytest.raises(MeshlangError) as info:
            debug_util("out")
        assert code_of(info) == "MS0942"


@pytest.mark.parametrize("filters", [hasattr(tarfile, "data_filter"), False])
def test_artifacts_of_others_stay_in_their_folder(tmp_path, monkeypatch, filters):
    """With the filters of tarfile, and without them, as in Python before 3.11.4."""
    if not filters:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    for name, fine in (("good.txt", True), ("../out.txt", False), ("/out.txt", False)):
        with tarfile.open(tmp_path / "a.tar", "w") as archive:
            member = tarfile.TarInfo(name)
            member.size = 2
            archive.addfile(member, io.BytesIO(b"hi"))
        if fine:
            unpack(tmp_path / "a.tar", tmp_path / "f")
            assert (tmp_path / "f/good.txt").read_bytes() == b"hi"
        elif name.startswith("/") and filters:  # the filter takes the leading slash away
            unpack(tmp_path / "a.tar", tmp_path / "f")
            assert (tmp_path / "f/out.txt").exists() and not Path(name).exists()
        else:
            with pytest.raises(MeshlangError) as found:
                unpack(tmp_path / "a.tar", tmp_path / "f")
            assert found.value.diagnostics[0].code == "MS0966"
