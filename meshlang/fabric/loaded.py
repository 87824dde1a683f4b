"""A loaded program: the arrays of the engine, and what can be asked of them at any time. Reports, notes and recording
look at this; `machine.py` runs it."""

from __future__ import annotations

import contextlib

import numpy as np

from ..diag import Diagnostic, MeshlangError
from ..ir.program import Program
from .engine import state as s
from .loader import State, load
from .startup import run_loop
from .timing import Profile, load_profile


class Loaded:
    """A program on a fabric, as it stands.

    profile: the name of a timing profile, a Profile, or None for the one of the program's architecture.
    threads: how many may run it at most.
    """

    def __init__(self, program: Program, profile: Profile | str | None = None, threads: int = 1):
        self.program = program
        if profile is None:
            profile = program.arch
        self.profile = load_profile(profile) if isinstance(profile, str) else profile
        self.width, self.height = program.fabric.width, program.fabric.height
        self.state: State = load(program, self.profile, threads)
        self.command: str | None = None  # name of the outstanding command
        self.recording = False  # a Recorder takes events over: the engine's version with events runs
        self._host_in = np.zeros(1, np.uint32)
        heads = max(1, len(self.state.hin_index)) * self.width * self.height
        self._segments = np.full(heads, -1, np.int64)

    @property
    def cycle(self) -> int:
        """The next cycle to run."""
        return int(self.state.W[s.Globals.now])

    @property
    def commands_outstanding(self) -> int:
        """PEs that have not finished the launched function."""
        return int(self.state.W[s.Globals.cmds])

    @property
    def strict(self) -> bool:
        """What hardware lets pass is a fault."""
        return bool(self.state.W[s.Globals.strict])

    @property
    def held_streams(self) -> list[int]:
        """Colors of which the host takes nothing now: wavelets for it wait on the fabric."""
        return [c for c in self.program.fabric.host_out if int(self.state.W[s.Globals.held]) >> c & 1]

    def stream_in_pending(self, color: int) -> int:
        """PEs that still have queued input of a color."""
        npe = self.width * self.height
        index = self.state.hin_index[color]
        return int((self._segments[index * npe : (index + 1) * npe] >= 0).sum())

    def pe(self, x: int, y: int) -> int:
        """Number of a PE."""
        if not (0 <= x < self.width and 0 <= y < self.height):
            raise MeshlangError(
                Diagnostic("MS0843", f"PE ({x}, {y}) is outside the {self.width} x {self.height} rectangle")
            )
        return y * self.width + x

    @property
    def pes(self) -> np.ndarray:
        """The PE records (fields: engine.state.Pe), a view: `pes["time"]`."""
        return self.state.pes

    def received(self) -> np.ndarray:
        """Wavelets that each compute element has taken from its input queues (int64 [pe]), modulo 2^32."""
        return self.state.routers["taken"].astype(np.int64)

    def step_by_step(self) -> None:
        """Make memory and queues hold in every cycle exactly what they hold then; slower, same results and cycles
        (express.py)."""
        self.settle()
        self.state.W[s.Globals.express] = 0

    def settle(self) -> None:
        """Bring the records of operations up to date, as reports need them (express.py)."""
        W = self.state.W
        if W[s.Globals.expressing]:
            until, W[s.Globals.until] = int(W[s.Globals.until]), 3
            self._call()
            W[s.Globals.until] = until

    def _call(self) -> int:
        """Let the engine run, up to what the words of W say."""
        st, loop = self.state, run_loop(self.recording)
        with contextlib.ExitStack() as around:
            around.enter_context(np.errstate(all="ignore"))
            if st.bands is not None and st.globals["until"] != 3:
                around.enter_context(st.bands.watching(st.globals))
                if st.bands.pays(st.globals):
                    return st.bands.run(loop, (st.U, st.C, self._host_in, self._segments))
            return int(loop(st.W, st.U, st.C, st.T, st.M8, st.M16, st.M32, self._host_in, self._segments))
