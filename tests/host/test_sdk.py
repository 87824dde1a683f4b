"""The vendor-compatible runtime: copies in every mode, streams, launches, sdk_utils, debug_util."""

import os

import numpy as np
import pytest

import meshlang
from meshlang.fabric.engine import state as s
from meshlang.host.sdk.debug import debug_util
from meshlang.host.sdk.runtime import MemcpyDataType, MemcpyOrder, SdkRuntime
from meshlang.host.sdk.utils import calculate_cycles, input_array_to_u32, memcpy_view

COPY = {
    "streaming": False,
    "data_type": MemcpyDataType.MEMCPY_32BIT,
    "order": MemcpyOrder.ROW_MAJOR,
    "nonblock": False,
}
HALF = {**COPY, "data_type": MemcpyDataType.MEMCPY_16BIT}
COLUMNS = {**COPY, "order": MemcpyOrder.COL_MAJOR}
STREAM = {**COPY, "streaming": True}


@pytest.fixture()
def runner(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program.save("out")
    runner = SdkRuntime("out", cmaddr=None, suppress_simfab_trace=True)
    assert runner.get_id("a") != runner.get_id("b")  # before load
    runner.load()
    runner.run()
    return runner


def code_of(info) -> str:
    return info.value.diagnostics[0].code


def everything(runner, dtype=np.float32):
    out = np.zeros(24, dtype)
    runner.memcpy_d2h(out, runner.get_id("a"), 0, 0, 3, 2, 4, **COPY)
    return out.reshape(2, 3, 4)


def test_orders(runner):
    a = runner.get_id("a")
    data = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    runner.memcpy_h2d(a, data.ravel(), 0, 0, 3, 2, 4, **COPY)
    assert np.array_equal(everything(runner), data)
    runner.memcpy_h2d(a, np.zeros(24, np.float32), 0, 0, 3, 2, 4, **COPY)
    runner.memcpy_h2d(a, data.ravel(order="F"), 0, 0, 3, 2, 4, **COLUMNS)
    assert np.array_equal(everything(runner), data)
    out = np.zeros((24, 1), np.uint32)
    runner.memcpy_d2h(out, a, 0, 0, 3, 2, 4, **COLUMNS)
    assert np.array_equal(out.ravel().view(np.float32).reshape(2, 3, 4, order="F"), data)


def test_region(runner):
    runner.memcpy_h2d(runner.get_id("a"), np.array([7, 8], np.float32), 2, 1, 1, 1, 2, **COPY)
    assert everything(runner)[1, 2].tolist() == [7, 8, 3, 4]
    assert everything(runner)[1, 1].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("order", list(MemcpyOrder))
def test_broadcasts(runner, order):
    a, letter = runner.get_id("a"), "C" if order == MemcpyOrder.ROW_MAJOR else "F"
    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    runner.memcpy_h2d_rowbcast(a, rows.ravel(order=letter), 0, 0, 3, 2, 4, **{**COPY, "order": order})
    assert np.array_equal(everything(runner), np.broadcast_to(rows[:, None], (2, 3, 4)))
    columns = np.arange(12, dtype=np.float32).reshape(3, 4)
    runner.memcpy_h2d_colbcast(a, columns.ravel(order=letter), 0, 0, 3, 2, 4, **{**COPY, "order": order})
    assert np.array_equal(everything(runner), np.broadcast_to(columns, (2, 3, 4)))


def test_stride(runner):
    runner.memcpy_h2d_stride(runner.get_id("a"), np.array([5, 6], np.float32), 0, 1, 3, 1, 1, 2, 1, **COPY)
    assert everything(runner)[:, :, 0].tolist() == [[1, 1, 1], [5, 1, 6]]


def test_16_bit(runner):
    b = runner.get_id("b")
    words = np.arange(12, dtype=np.uint32) | 0xFFFF0000  # the upper halves do not count
    runner.memcpy_h2d(b, words, 0, 0, 3, 2, 2, **HALF)
    out = np.full(12, 0xFFFFFFFF, np.uint32)
    runner.memcpy_d2h(out, b, 0, 0, 3, 2, 2, **HALF)
    assert out.tolist() == list(range(12))
    pairs = np.zeros(6, np.uint32)
    runner.memcpy_d2h(pairs, b, 0, 0, 3, 2, 1, **COPY)  # two 16-bit elements are one word
    assert pairs.tolist() == [(2 * i + 1) << 16 | 2 * i for i in range(6)]
    half = np.array([0.5, -2], np.float16)
    runner.memcpy_h2d(runner.get_id("half"), input_array_to_u32(half, 1, 1), 1, 0, 1, 1, 2, **HALF)
    back = np.zeros(2, np.uint32)
    runner.memcpy_d2h(back, runner.get_id("half"), 1, 0, 1, 1, 2, **HALF)
    assert np.array_equal(memcpy_view(back, np.dtype(np.float16)), half)


def test_commands_are_ordered(runner):
    a, nonblock = runner.get_id("a"), {**COPY, "nonblock": True}
    source = np.full(24, 3, np.float32)
    tasks = [runner.memcpy_h2d(a, source, 0, 0, 3, 2, 4, **nonblock)]
    source[:] = 0  # the data are taken at the call
    tasks.append(runner.launch("scale", np.float32(2), np.int16(1), nonblock=True))
    out = np.zeros(24, np.float32)
    tasks.append(runner.memcpy_d2h(out, a, 0, 0, 3, 2, 4, **nonblock))
    assert not out.any()
    runner.task_wait(tasks[-1])
    assert (out == 6).all() and all(runner.is_task_done(t) for t in tasks)
    runner.stop()


def test_polling_makes_progress(runner):
    task = runner.launch("scale", np.float32(2), np.int16(1), nonblock=True)
    polls = 0
    while not runner.is_task_done(task):
        polls += 1
    assert polls < 10


def test_polling_a_deadlock_ends(runner):
    task = runner.launch("forget", nonblock=True)
    with pytest.raises(meshlang.MeshlangError) as info:
        while not runner.is_task_done(task):
            pass
    assert info.value.exit_code == 3


def test_streaming_keeps_feeding(runner):
    words = np.arange(12, dtype=np.uint32)
    runner.memcpy_h2d(1, words, 0, 0, 3, 2, 2, **{**STREAM, "nonblock": True})
    runner.launch("swap", nonblock=False)
    runner.launch("echo", np.uint16(1), nonblock=True)
    out = np.zeros(12, np.uint32)
    runner.memcpy_d2h(out, 2, 0, 0, 3, 2, 2, **{**STREAM, "order": MemcpyOrder.COL_MAJOR})
    assert np.array_equal(out.reshape(2, 3, 2, order="F"), words.reshape(2, 3, 2))
    runner.stop()


def test_streamed_data_nobody_takes(runner):
    runner.memcpy_h2d(1, np.zeros(600, np.uint32), 0, 0, 3, 2, 100, **{**STREAM, "nonblock": True})
    with pytest.raises(meshlang.MeshlangError) as info:
        runner.stop()
    assert info.value.exit_code == 3 and "color 1" in info.value.diagnostics[0].notes[0]


def test_call_and_read_symbol(runner):
    runner.call("scale", np.array([np.float32(2).view(np.uint32), 1], np.uint32), nonblock=False)
    runner.call("swap", [], nonblock=False)
    assert runner.read_symbol(0, 0, "other", dtype="float32").tolist() == [10, 20, 30, 40]
    assert runner.read_symbol(0, 0, "n", "int16").tolist() == [-5]
    assert runner.read_symbol(0, 0, "n").dtype == np.uint8
    with pytest.raises(meshlang.MeshlangError) as info:
        runner.read_symbol(0, 0, "othr")
    assert code_of(info) == "MS0927" and "'other'" in info.value.diagnostics[0].help


def test_a_call_that_is_not_waited_for(runner):
    """It returns, though what it calls never ends; the error marks the function, which has no statement."""
    task = runner.call("forget", [], nonblock=True)
    with pytest.raises(meshlang.MeshlangError) as info:
        runner.task_wait(task)
    (found,) = info.value.diagnostics
    assert found.code == "MS0856" and found.span.file.text[found.span.start : found.span.end] == "forget"


def test_sim_log_and_debug_util(runner):
    runner.launch("scale", np.float32(2), np.int16(2), nonblock=False)
    with pytest.raises(meshlang.MeshlangError):
        debug_util("out")
    runner.stop()
    lines = open("sim.log").read().splitlines()
    assert (
        len(lines) == 2 and lines[0].startswith("@") and lines[0].endswith("PE(0,0): 7 00FF 0000000000000101 2.000000")
    )
    look = debug_util(os.path.abspath("out"), cmaddr=None)
    assert look.read_trace(1, 1, "steps") == [2, 2, "done"]
    assert look.get_symbol(2, 1, "a", np.float32).tolist() == [4, 8, 12, 16]
    assert look.get_symbol_rect(((1, 0), (2, 2)), "a", np.float32).shape == (2, 2, 4)
    for wrong in (lambda: look.read_trace(3, 0, "steps"), lambda: look.read_trace(0, 0, "stepz")):
        with pytest.raises(meshlang.MeshlangError) as info:
            wrong()
        assert code_of(info) == "MS0927"


@pytest.mark.parametrize(
    "array, code",
    [
        (np.zeros(3, np.float32), "MS0911"),
        (np.zeros(4, np.float64), "MS0912"),
        (np.zeros(4, np.float16), "MS0912"),
        ([0, 0, 0, 0], "MS0912"),
    ],
)
def test_arrays_are_checked(runner, array, code):
    for copy in (
        lambda: runner.memcpy_h2d(runner.get_id("a"), array, 0, 0, 1, 1, 4, **COPY),
        lambda: runner.memcpy_d2h(array, runner.get_id("a"), 0, 0, 1, 1, 4, **COPY),
    ):
        with pytest.raises(meshlang.MeshlangError) as info:
            copy()
        assert code_of(info) == code


def test_an_array_longer_than_the_copy(runner, capsys):
    """The first elements are taken, or filled, and the rest stays as it is."""
    a = runner.get_id("a")
    data = np.arange(6, dtype=np.float32)
    for _ in range(2):
        runner.memcpy_h2d(a, data, 0, 0, 1, 1, 4, **COPY)
    assert everything(runner)[0, 0].tolist() == [0, 1, 2, 3]
    out = np.full((2, 3), 9, np.float32)
    runner.memcpy_d2h(out, a, 0, 0, 1, 1, 4, **COPY)
    assert out.tolist() == [[0, 1, 2], [3, 9, 9]]
    column = np.full((6, 2), 9, np.float32)[:, 0]  # not contiguous
    runner.memcpy_d2h(column, a, 0, 0, 1, 1, 4, **COLUMNS)
    assert column.tolist() == [0, 1, 2, 3, 9, 9]
    runner.stop()
    err = capsys.readouterr().err
    assert err.count("warning[MS0872]") == 3 and "MS0872 x 4" in err
    assert "memcpy_h2d: the array has 6 elements, the copy 1 x 1 x 4 = 4: the first 4 are sent" in err


def test_an_array_longer_than_the_copy_in_a_strict_run(runner):
    runner._session.machine.state.W[s.G_STRICT] = 1
    with pytest.raises(meshlang.MeshlangError) as info:
        runner.memcpy_h2d(runner.get_id("a"), np.zeros(5, np.float32), 0, 0, 1, 1, 4, **COPY)
    assert code_of(info) == "MS0872"


def test_order_of_calls(program, tmp_path):
    program.save(tmp_path)
    runner = SdkRuntime(tmp_path)
    for call in (runner.run, runner.stop, lambda: runner.launch("swap")):
        with pytest.raises(meshlang.MeshlangError) as info:
            call()
        assert code_of(info) == "MS0925"
    with runner:
        runner.launch("swap")
        runner.stop()
        with pytest.raises(meshlang.MeshlangError) as info:
            runner.launch("swap")
        assert code_of(info) == "MS0925"
    runner.stop()


def test_not_yet_supported(program, tmp_path):
    program.save(tmp_path)
    for wrong in (
        lambda: SdkRuntime(tmp_path, cmaddr="10.0.0.1:9000"),
        lambda: SdkRuntime(tmp_path).dump_elf_core("core.elf"),
    ):
        with pytest.raises(meshlang.MeshlangError) as info:
            wrong()
        assert code_of(info) == "MS0922"


def test_input_array_to_u32():
    a = np.array([[1, -1], [0x7FFF, 3]], np.int16)
    assert input_array_to_u32(a, None, 2).tolist() == [1, 0xFFFF, 0x7FFF, 3]
    assert input_array_to_u32(a, 1, 2).tolist() == [1, 0x1FFFF, 0x7FFF, 0x10003]
    assert input_array_to_u32(np_arr=a.ravel(), sentinel=0, fast_dim_sz=4).tolist() == [1, 0x1FFFF, 0x27FFF, 0x30003]
    assert input_array_to_u32(np.array([1.0], np.float32), 1, 1).tolist() == [0x3F800000]


def test_memcpy_view_is_a_view():
    words = np.array([[0x12345678, 0xABCD0001]], np.uint32)
    assert memcpy_view(words, np.dtype(np.uint16)).tolist() == [[0x5678, 1]]
    assert memcpy_view(words, np.uint8).tolist() == [[0x78, 1]]
    memcpy_view(words, np.uint16)[0, 0] = 9
    assert words[0, 0] == 0x12340009


def test_calculate_cycles():
    start, end = 0x0001_FFFE_0003, 0x0002_0001_0005
    parts = [start & 0xFFFF, start >> 16 & 0xFFFF, start >> 32, end & 0xFFFF, end >> 16 & 0xFFFF, end >> 32]
    assert calculate_cycles(np.array(parts, np.uint16).view(np.float32)) == end - start
