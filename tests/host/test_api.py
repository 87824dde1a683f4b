"""The Python API: data, launches, streams, and every mistake a caller can make."""

import subprocess
import sys

import numpy as np
import pytest

import meshlang


def fails(code, exit_code=1):
    """A context that expects one MeshlangError with a code."""

    class Context:
        def __enter__(self):
            self.raises = pytest.raises(meshlang.MeshlangError)
            self.info = self.raises.__enter__()
            return self

        def __exit__(self, *args):
            done = self.raises.__exit__(*args)
            self.diagnostic = self.info.value.diagnostics[0]
            assert self.diagnostic.code == code, self.diagnostic
            assert self.info.value.exit_code == exit_code
            return done

    return Context()


def test_import_is_light():
    code = "import meshlang, sys; print([m for m in ('numba', 'lark', 'numpy', 'rich') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_write_and_read(fabric):
    data = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    fabric.write("a", data)
    assert np.array_equal(fabric.read("a"), data)
    fabric.write("a", np.full((1, 2, 2), -1, np.float32), x=1, y=1)
    data[1, 1:, :2] = -1
    assert np.array_equal(fabric.read("a"), data)
    assert np.array_equal(fabric.read("a", x=2, y=1, w=1, h=1, count=3), data[1:, 2:, :3])


def test_initial_values_and_scalars(fabric):
    assert fabric.read("a")[1, 2].tolist() == [1, 2, 3, 4]
    assert fabric.read("n").dtype == np.int16 and (fabric.read("n") == -5).all()
    assert (fabric.read("limit") == 70000).all()
    fabric.write("n", np.int16(9), x=1)
    assert fabric.read("n")[:, :, 0].tolist() == [[-5, 9, -5], [-5, -5, -5]]


def test_values_of_another_type_are_taken_if_exact(fabric):
    fabric.write("b", np.array([1, 2, 3]))
    assert fabric.read("b")[0, 0].tolist() == [1, 2, 3, 0, 0, 0]
    with fails("MS0912"):
        fabric.write("b", np.array([1, 2, 70000]))
    with fails("MS0912"):
        fabric.write("half", np.array([0.1]))
    with fails("MS0912"):
        fabric.write("b", np.array([1.0]))


def test_copies_follow_the_pointer(fabric):
    fabric.launch("swap")
    assert fabric.read("a")[0, 0].tolist() == [10, 20, 30, 40]
    fabric.write("a", np.array([5], np.float32))
    assert fabric.read("a")[0, 0].tolist() == [5, 20, 30, 40]


def test_launch_arguments(fabric):
    fabric.launch("scale", 2.0, np.int16(2))
    assert fabric.read("a")[1, 1].tolist() == [4, 8, 12, 16]
    assert fabric.traces(2, 1, "steps") == [2, 2, "done"]
    cycles = [int(line.split()[0][1:]) for line in fabric.lines]
    assert [line.split(" ", 1)[1] for line in fabric.lines] == [
        "PE(0,0): 7 00FF 0000000000000101 2.000000",
        "PE(0,1): 7 00FF 0000000000000101 2.000000",
    ]
    assert cycles == sorted(cycles) and 0 < cycles[0] < fabric.cycles


def test_streams(fabric):
    words = np.arange(12, dtype=np.uint32).reshape(2, 3, 2)
    fabric.stream_in(1, words)
    fabric.launch("echo", 3, block=False)
    assert np.array_equal(fabric.stream_out(2, 2, w=3, h=2), words)
    assert (fabric.read("n") == 3).all()


def test_what_was_not_waited_for_completes_on_exit(program):
    with program.start() as fabric:
        fabric.launch("scale", 3.0, 1, block=False)
    assert fabric.read("a")[0, 0, 0] == 3


def test_unknown_names(fabric):
    with fails("MS0910") as e:
        fabric.write("aa", np.zeros((1, 1, 1), np.float32))
    assert "'a'" in e.diagnostic.help and "limit" in e.diagnostic.message
    with fails("MS0910"):
        fabric.read("swap")
    with fails("MS0915") as e:
        fabric.launch("scal")
    assert "'scale'" in e.diagnostic.help
    with fails("MS0915"):
        fabric.launch("a")


def test_shapes_and_regions(fabric):
    with fails("MS0911"):
        fabric.write("a", np.zeros((2, 3), np.float32))
    with fails("MS0911"):
        fabric.write("n", np.zeros((1, 1, 2), np.int16))
    with fails("MS0913"):
        fabric.write("a", np.zeros((1, 3, 1), np.float32), x=1)
    with fails("MS0913"):
        fabric.read("a", y=2)
    with fails("MS0918") as e:
        fabric.write("a", np.zeros((1, 1, 5), np.float32))
    assert "16 bytes" in e.diagnostic.message
    with fails("MS0926"):
        fabric.write("limit", np.uint32(1))
    fabric.read("a")  # the machine goes on after a refused command


@pytest.mark.parametrize(
    "args, code",
    [
        ((), "MS0916"),
        ((1.0, 2, 3), "MS0916"),
        ((1.0, np.int32(2)), "MS0917"),
        ((1.0, 40000), "MS0917"),
        ((np.float64(1), 2), "MS0917"),
        (("x", 2), "MS0917"),
        ((1.0, 2.5), "MS0917"),
    ],
)
def test_launch_arguments_are_checked(fabric, args, code):
    with fails(code):
        fabric.launch("scale", *args)


def test_streams_are_checked(fabric):
    with fails("MS0924"):
        fabric.stream_in(2, np.zeros((1, 1, 1), np.uint32))
    with fails("MS0924"):
        fabric.stream_out(7, 1)
    with fails("MS0912"):
        fabric.stream_in(1, np.zeros((1, 1, 1), np.uint16))
    with fails("MS0913"):
        fabric.stream_in(1, np.zeros((1, 4, 1), np.uint32))


def test_command_stream_not_unblocked(fabric):
    with fails("MS0856", exit_code=3):
        fabric.launch("forget")


def test_deadlock_on_a_stream(fabric):
    with fails("MS0860", exit_code=3):
        fabric.stream_out(2, 1)


def test_cycle_limit(fabric):
    with fails("MS0919"):
        fabric.launch("spin")


def test_symbol_missing_on_some_pes(tmp_path):
    from host_programs import LAYOUT, PE

    (tmp_path / "pe.csl").write_text(PE)
    (tmp_path / "bare.csl").write_text(
        'param memcpy_params;\nconst sys = @import_module("<memcpy/memcpy>", memcpy_params);\n'
    )
    (tmp_path / "layout.csl").write_text(
        LAYOUT.replace(
            '@set_tile_code(x, y, "pe.csl"',
            'const file = if (x == 2) "bare.csl" else "pe.csl";\n    @set_tile_code(x, y, file',
        )
    )
    with meshlang.compile(tmp_path / "layout.csl").start() as fabric:
        assert fabric.read("a", w=2).shape == (2, 2, 4)
        with fails("MS0914") as e:
            fabric.read("a")
        assert "(2, 0)" in e.diagnostic.message and "bare.csl" in e.diagnostic.message
        with fails("MS0914"):
            fabric.launch("swap")


def test_missing_layout(tmp_path):
    with fails("MS0901"):
        meshlang.compile(tmp_path / "nothing.csl")
    with fails("MS0907"):
        meshlang.compile(tmp_path)


def test_params_of_a_host_script():
    from meshlang.host.context import RunContext, set_context

    set_context(RunContext(params={"P": "16", "f": "2.5", "on": "true", "name": "x"}))
    try:
        assert meshlang.params({"P": 8, "Q": 1}, f=1.0, on=False, name="y") == {
            "P": 16,
            "Q": 1,
            "f": 2.5,
            "on": True,
            "name": "x",
        }
        with fails("MS0904", exit_code=2) as e:
            meshlang.params(P=8, fp=1.0, on=False, name="y")
        assert "fp" in e.diagnostic.help
        with fails("MS0905", exit_code=2):
            meshlang.params(P=8, f=1, on=False, name="y")
    finally:
        set_context(RunContext())


def test_resources(program):
    r = program.resources()
    assert (r["width"], r["height"], r["pes"], r["host_in"], r["host_out"]) == (3, 2, 6, [1], [2])
    assert r["tiles"][0]["pes"] == 6 and r["tiles"][0]["tasks"]["local"] == 2
