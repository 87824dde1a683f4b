"""Programs run uncompiled until the compiled engine is there, and change over in the middle."""

import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from asm import Tile, program

from meshlang.fabric import loaded, machine, startup
from meshlang.fabric.engine import jit, loop
from meshlang.ir.isa import Op, Ty

pytestmark = pytest.mark.skipif(not jit.COMPILED, reason="the engine is not compiled here")


def counting(turns):
    """A program that adds 1 to a word `turns` times, 30 cycles or so apart."""
    tile = Tile("pe.csl")
    out = tile.var("out", 1, 4)
    tile.task(8, "local", "turn")
    tile.emit(Op.LDI, 1, out)
    tile.emit(Op.LD, 2, 1, 0, Ty.I32)
    tile.emit(Op.ADDI, 2, 2, 1, Ty.I32)
    tile.emit(Op.ST, 2, 1, 0, Ty.I32)
    tile.emit(Op.LDI, 3, turns)
    tile.emit(Op.LT, 3, 2, 3, Ty.I32)
    tile.emit(Op.JZ, 3, "end")
    tile.emit(Op.LDI, 1, 8)
    tile.emit(Op.ACTIVATE, 1)
    tile.ret()
    tile.label("end")
    tile.done()
    tile.ret()
    tile.function("main", export=True)
    tile.emit(Op.LDI, 1, 8)
    tile.emit(Op.ACTIVATE, 1)
    tile.ret()
    return program([[0]], [tile]), out


@pytest.fixture
def cold(monkeypatch, tmp_path):
    """As on a fresh machine; what would be started is recorded and starts nothing."""
    started = []

    def popen(command, **how):
        process = SimpleNamespace(command=command, how=how, returncode=None)
        process.poll = lambda: process.returncode
        started.append(process)
        return process

    compiled = loop.engine()
    monkeypatch.setenv("MESHLANG_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("MESHLANG_BACKGROUND", "1")
    monkeypatch.setattr(loop, "_compiled", {})
    monkeypatch.setattr(startup, "_waiting", {False: startup._Waiting(), True: startup._Waiting()})
    monkeypatch.setattr(startup.subprocess, "Popen", popen)
    monkeypatch.setattr(startup, "LOOK", 0.0)
    monkeypatch.setattr(loop, "top_level", lambda *_: compiled)
    return started


def test_changes_over_in_the_middle(cold, monkeypatch, capsys):
    code, out = counting(400)
    plain = startup.uncompiled()
    loops = []

    def watched(traced=False):
        if len(loops) == 6:
            (jit.cache_directory(loop.__file__) / "ordinary").touch()  # now the other process has made it
        loops.append(startup.run_loop(traced) is plain)
        return startup.run_loop(traced)

    monkeypatch.setattr(loaded, "run_loop", watched)
    m = machine.Machine(code)
    m.launch("main")
    stop = m.run("commands")
    assert loops[:6] == [True] * 6 and not any(loops[7:]) and len(loops) > 7
    monkeypatch.setattr(loaded, "run_loop", lambda traced=False: loop.engine())
    other = machine.Machine(code)
    other.launch("main")
    assert other.run("commands") == stop
    assert (
        (m.state.W == other.state.W).all() and (m.memory == other.memory).all() and (m.state.U == other.state.U).all()
    )
    assert [p.command[2:] for p in cold] == [["meshlang.fabric.startup"]] and cold[0].how["start_new_session"]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and "in the background" in said[0]


def test_a_process_that_fails_is_not_waited_for(cold, capsys):
    assert startup.run_loop() is startup.uncompiled()
    cold[0].returncode = 1
    assert startup.run_loop() is loop.engine()
    assert len(cold) == 1


def test_one_that_found_another_at_work_is_followed_by_a_second(cold):
    startup.run_loop()
    cold[0].returncode = 0
    startup._waiting[False].next_look = 0.0
    assert startup.run_loop() is startup.uncompiled() and len(cold) == 2


@pytest.mark.parametrize("variable, value", [("MESHLANG_BACKGROUND", "0"), ("MESHLANG_CACHE_DIR", "/dev/null/no")])
def test_compiled_first_where_asked_or_where_nothing_can_be_kept(cold, monkeypatch, capsys, variable, value):
    monkeypatch.setenv(variable, value)
    assert startup.run_loop() is loop.engine() and not cold
    assert "once; less than a minute" in capsys.readouterr().err


def test_two_processes_do_not_compile_the_same(tmp_path):
    second = threading.Thread(target=lambda: startup._alone(tmp_path).__enter__(), daemon=True)
    with startup._alone(tmp_path):
        second.start()
        second.join(0.2)
        assert second.is_alive()  # it waits
    second.join(20)
    assert not second.is_alive()


def test_uncompiled_needs_no_numba():
    code = "import sys, meshlang.fabric.uncompiled.loop; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
