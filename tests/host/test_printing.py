"""Output records -> lines and traces."""

from types import SimpleNamespace

import numpy as np

from meshlang.fabric.engine.state import PrintWhat
from meshlang.fabric.machine import Machine
from meshlang.host.printing import Output, text_of, value_of
from meshlang.ir.isa import Print, Ty


def test_numbers():
    assert text_of(Print.DEC, Ty.I16, -3) == "-3"
    assert text_of(Print.DEC, Ty.U16, 65533) == "65533"
    assert text_of(Print.HEX, Ty.U16, 0xAB) == "00AB" and text_of(Print.HEX, Ty.U32, 0xAB) == "000000AB"
    assert text_of(Print.BIN, Ty.U16, 5) == "0000000000000101" and len(text_of(Print.BIN, Ty.U32, 5)) == 32
    assert text_of(Print.HEX, Ty.I16, -1) == "FFFF"
    assert text_of(Print.FLOAT, Ty.F16, int(np.float16(1.5).view(np.uint16))) == "1.500000"
    assert text_of(Print.FLOAT, Ty.F32, int(np.float32(-0.25).view(np.uint32))) == "-0.250000"
    assert value_of(Ty.I16, 0xFFFF) == -1 and value_of(Ty.U8, 255) == 255


def test_lines_are_put_together_per_pe(tmp_path):
    out = Output(path=tmp_path / "sim.log")
    done = out.take(
        [
            (5, 0, Print.TEXT, 0, 0, "a = "),
            (5, 1, Print.TEXT, 0, 0, "other"),
            (6, 0, Print.DEC, Ty.U16, 7, ""),
            (7, 0, Print.FLUSH, 0, 0, ""),
        ]
    )
    assert [str(line) for line in done] == ["@7 a = 7"]
    out.take([(9, 1, Print.FLUSH, 0, 0, ""), (9, 1, Print.TEXT, 0, 0, "never ended")])
    assert (tmp_path / "sim.log").read_text() == "@7 a = 7\n@9 other\n"


def test_an_old_log_is_replaced(tmp_path):
    (tmp_path / "sim.log").write_text("old\n")
    Output(path=tmp_path / "sim.log").start()
    assert (tmp_path / "sim.log").read_text() == ""


def test_traces():
    out = Output(text_at=lambda pe, index: f"text {pe} {index}")
    out.take(
        [
            (1, 2, Print.TRACE, Ty.I16, -4, "k"),
            (2, 2, Print.TRACE_TEXT, 0, 3, "k"),
            (3, 2, Print.TRACE_TIME, 0, 0, "k"),
            (4, 2, Print.TRACE_BOOL, 0, 1, "k"),
            (5, 2, Print.TRACE, Ty.F32, 0x3F800000, "other"),
        ]
    )
    assert out.traces[2, "k"] == [-4, "text 2 3", 3, True] and out.traces[2, "other"] == [1.0]


def test_a_record_has_the_text_it_names():
    """From the first of the machine's texts to the last; a number that names none has none."""
    texts = ["first", "second", "last"]
    machine = SimpleNamespace(width=4, state=SimpleNamespace(strings=texts))
    whats = [PrintWhat.pack(kind=int(Print.TEXT), ty=0, string=k) for k in (0, 1, 2, 3, -1)]
    log = np.zeros(len(whats), [("cycle", np.int64), ("pe", np.int64), ("what", np.int64), ("value", np.int64)])
    log["cycle"], log["pe"], log["what"] = range(5), 6, np.array(whats, np.uint64).view(np.int64)
    found = Machine._print_records(machine, [log[:1], log[1:]])
    assert [r.string for r in found] == [*texts, None, None]
    assert {r.pe for r in found} == {(2, 1)} and [r.cycle for r in found] == list(range(5))
