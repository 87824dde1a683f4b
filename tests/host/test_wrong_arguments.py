"""Every argument of every call of the host, with things that cannot be meant: a MeshlangError, and the next call works."""

import numpy as np
import pytest

import meshlang
from meshlang.host.sdk.debug import debug_util
from meshlang.host.sdk.runtime import MemcpyDataType, MemcpyOrder, SdkRuntime
from meshlang.inspect.trace import trace_options

NOTHING = object()
WRONG = [
    None, True, 0, 1, -1, 2**31, 2**63, 2**64, -(2**63), 10**30, 0.5, 2.0, float("nan"), float("inf"), 1e300, 1 + 2j, "", "a", "x\0y", b"a",
    [], [1], [1, 2], [[1], [2, 3]], ["a"], (), {}, {"a": 1}, NOTHING, int, np.float32(1.5), np.int64(-5), np.uint64(2**64 - 1), np.array(3),
    np.array([]), np.zeros((2, 3, 4)), np.zeros((0, 1, 1)), np.array(["x"]), np.array([None]), np.array(["2020-01-01"], "datetime64[s]"),
    np.ma.masked,
]  # fmt: skip


def only_our_errors(call, *given, **named):
    """Whether the call was refused; anything but a MeshlangError goes through."""
    try:
        call(*given, **named)
    except meshlang.MeshlangError as error:
        assert error.diagnostics and str(error)
        return True
    return False


def every_argument(call, good):
    """Call with one argument after the other replaced by each wrong thing; how many were refused."""
    return sum(only_our_errors(call, **{**good, name: value}) for name in good for value in WRONG)


def still_works(fabric):
    data = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    fabric.write("a", data)
    fabric.launch("scale", 2.0, 1)
    assert np.array_equal(fabric.read("a"), 2 * data)


DATA = np.zeros((1, 1, 2), np.float32)
CALLS = [
    ("write", {"symbol": "a", "array": DATA, "x": 0, "y": 0}),
    ("read", {"symbol": "a", "x": 0, "y": 0, "w": 1, "h": 1, "count": 1}),
    ("launch", {"name": "swap", "block": True}),
    ("stream_in", {"color": 1, "array": np.zeros((1, 1, 0), np.uint32), "x": 0, "y": 0}),
    ("traces", {"x": 0, "y": 0, "key": "steps"}),
]


@pytest.mark.parametrize(("name", "good"), CALLS, ids=[name for name, _ in CALLS])
def test_calls_of_a_fabric(program, name, good):
    fabric = program.start(max_cycles=100_000)
    assert every_argument(getattr(fabric, name), good)
    still_works(program.start(max_cycles=100_000) if name in ("launch", "stream_in") else fabric)


def test_stream_out(program):
    fabric = program.start(max_cycles=100_000)
    good = {"color": 99, "count": 1, "x": 0, "y": 0, "w": 1, "h": 1, "dtype": np.uint32}
    assert every_argument(fabric.stream_out, good)
    with pytest.raises(meshlang.MeshlangError, match="MS0912"):
        fabric.stream_out(2, 1, dtype=np.float64)
    still_works(fabric)


def test_what_numbers_are():
    """Integers of Python and numpy, and arrays of one without extent, are numbers; a float never is."""
    from meshlang.host.arguments import whole

    assert [whole(v, "x") for v in (3, np.int8(3), np.uint64(3), np.array(3))] == [3, 3, 3, 3]
    for bad in (3.0, np.float32(3), "3", True, np.bool_(True), np.array([3]), None):
        with pytest.raises(meshlang.MeshlangError, match="x is an integer, not"):
            whole(bad, "x")


@pytest.mark.parametrize("bad", [16777217, 2**200, -(2**127) - 1, 1e300, -1e39], ids=str)
def test_launch_changes_no_number(fabric, bad):
    with pytest.raises(meshlang.MeshlangError, match="MS0917"):
        fabric.launch("scale", bad, 1)


@pytest.mark.parametrize("good", [16777216, 2**100, 0.1, -1e30, float("inf")], ids=str)
def test_launch_takes_what_a_literal_would_be(fabric, good):
    fabric.write("a", np.ones((2, 3, 4), np.float32))
    fabric.launch("scale", good, 1)
    assert (fabric.read("a") == np.float32(good)).all()


def test_start(program):
    good = {"profile": "wse2", "max_cycles": 10, "sim_log": "", "echo": False, "strict": False}
    for name in ("profile", "max_cycles"):
        for value in WRONG:
            only_our_errors(program.start, **{**good, "sim_log": None, name: value})
    for value in WRONG:
        if not isinstance(value, str) or not value or "\0" in value:
            only_our_errors(program.start, sim_log=value)
    fabric = program.start()
    for value in ("x", 1.5, -1, np.zeros(3)):
        with pytest.raises(meshlang.MeshlangError, match="MS0929"):
            fabric.max_cycles = value


def test_compile_and_load(tmp_path):
    for value in WRONG:
        assert only_our_errors(meshlang.compile, value)
        assert only_our_errors(meshlang.load, value)
    layout = tmp_path / "layout.csl"
    layout.write_text('param n: i16; layout { @set_rectangle(1, 1); @set_tile_code(0, 0, "pe.csl"); }')
    (tmp_path / "pe.csl").write_text("")
    meshlang.compile(layout, params={"n": 1})
    options = ["params", "arch", "colors", "import_paths", "fabric_dims", "fabric_offsets", "fp16_format"]
    options += ["max_inlined_iterations", "comptime_func_depth_limit", "optimise"]
    for name in options:
        for value in WRONG:
            only_our_errors(meshlang.compile, layout, **{"params": {"n": 1}, name: value})
    for value in WRONG:
        only_our_errors(meshlang.compile, layout, params={"n": value})
        only_our_errors(meshlang.compile, layout, params={value if value.__hash__ else "m": 1})


def test_trace_options():
    for name in ("pes", "events"):
        for value in WRONG:
            only_our_errors(trace_options, **{name: value})


COPY = {
    "px": 0,
    "py": 0,
    "w": 1,
    "h": 1,
    "elem_per_pe": 1,
    "streaming": False,
    "data_type": MemcpyDataType.MEMCPY_32BIT,
    "order": MemcpyOrder.ROW_MAJOR,
    "nonblock": False,
}


@pytest.fixture()
def runner(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program.save("out")
    runner = SdkRuntime("out")
    runner.load()
    runner.run()
    return runner


def test_copies_of_the_runtime(runner):
    a, data = runner.get_id("a"), np.zeros(1, np.float32)
    copies = {key: value for key, value in COPY.items() if key != "streaming"}
    for name in ("memcpy_h2d", "memcpy_h2d_rowbcast", "memcpy_h2d_colbcast"):
        call = getattr(runner, name)
        assert every_argument(lambda call=call, **k: call(streaming=False, **k), {"dest": a, "src": data, **copies})
    good = {"dest": a, "src": data, **copies, "row_stride": 1, "col_stride": 1}
    assert every_argument(lambda **k: runner.memcpy_h2d_stride(streaming=False, **k), good)
    assert every_argument(lambda **k: runner.memcpy_d2h(streaming=False, **k), {"dest": data, "src": a, **copies})
    back = np.zeros(1, np.float32)
    runner.memcpy_h2d(a, np.float32([7]), **COPY)
    runner.memcpy_d2h(back, a, **COPY)
    assert back[0] == 7


def test_other_calls_of_the_runtime(runner):
    for value in WRONG:
        only_our_errors(runner.get_id, value)
        only_our_errors(runner.call, "scale", value)
        only_our_errors(runner.coord_logical_to_physical, value)
        only_our_errors(runner.read_symbol, value, 0, "n", np.int16)
        only_our_errors(runner.read_symbol, 0, 0, value, np.int16)
        only_our_errors(runner.read_symbol, 0, 0, "n", value)
        only_our_errors(runner.send, value, np.zeros(1, np.uint32))
        only_our_errors(runner.receive, value, np.zeros(1, np.uint32))
        only_our_errors(runner.task_wait, value)
        only_our_errors(runner.is_task_done, value)
    runner.stop()
    look = debug_util("out")
    for value in WRONG:
        only_our_errors(look.get_symbol, value, 0, "n", np.int16)
        only_our_errors(look.get_symbol, 0, 0, value, np.int16)
        only_our_errors(look.get_symbol_rect, value, "n", np.int16)
        only_our_errors(look.get_symbol_rect, ((0, 0), value), "n", np.int16)
        only_our_errors(look.read_trace, value, 0, "steps")
        only_our_errors(look.read_trace, 0, 0, value)


def test_a_limit_that_is_no_number(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MESHLANG_MAX_CYCLES", "many")
    program.save("out")
    with pytest.raises(meshlang.MeshlangError, match="MESHLANG_MAX_CYCLES=many"):
        SdkRuntime("out").load()
