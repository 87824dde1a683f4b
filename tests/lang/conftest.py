"""Programs of the language, run on the reference interpreter and (when asked for) on the engine, and compared by
value."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))

from compiling import compile_files
from reference_vm import ReferenceVM

import meshlang
from meshlang.host.api import FabricHandle

LAYOUT = """
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0) });
  @export_name("run", fn()void);
%s}
"""
PE = """
param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
fn run() void { main(); sys.unblock_cmd_stream(); }
comptime { @export_symbol(run); }
%s"""


class Machines:
    """`run(source)` compiles a PE program with `fn main() void`, runs it and returns its globals by name."""

    def __init__(self, folder: Path):
        self.folder = folder

    def run(self, source: str, *names: str, arch: str = "wse2") -> list[np.ndarray]:
        """On the reference interpreter."""
        program = compile_files(self.folder, {"pe.csl": source}, arch=arch)
        vm = ReferenceVM(program.tiles[0])
        vm.call("main")
        return [vm.read(n) for n in names] if len(names) != 1 else vm.read(names[0])

    def start(self, source: str, arrays: dict[str, str], arch: str = "wse2", **options) -> FabricHandle:
        """On a fabric, ready to launch "run"; `arrays` are the exported ones, name -> element type."""
        exports = "".join(f'  @export_name("{n}", [*]{t}, true);\n' for n, t in arrays.items())
        pointers = "".join(
            f'var {n}_ptr: [*]{t} = &{n};\ncomptime {{ @export_symbol({n}_ptr, "{n}"); }}\n' for n, t in arrays.items()
        )
        folder = self.folder / "engine"
        folder.mkdir(exist_ok=True)
        (folder / "layout.csl").write_text(LAYOUT % exports)
        (folder / "pe.csl").write_text(PE % (source + "\n" + pointers))
        return meshlang.compile(str(folder / "layout.csl"), arch=arch).start(**options)

    def engine(self, source: str, arrays: dict[str, str], arch: str = "wse2") -> dict[str, np.ndarray]:
        """The exported arrays after a run on the engine."""
        with self.start(source, arrays, arch) as fabric:
            fabric.launch("run")
            return {n: fabric.read(n)[0, 0] for n in arrays}

    def run_both(self, source: str, arrays: dict[str, str], arch: str = "wse2") -> dict[str, np.ndarray]:
        """On both machines, which must agree bit for bit."""
        slow = dict(zip(arrays, self.run_all(source, list(arrays), arch)))
        fast = self.engine(source, arrays, arch)
        for n in arrays:
            assert fast[n].tobytes() == slow[n].tobytes(), (n, fast[n], slow[n])
        return fast

    def run_all(self, source: str, names: list[str], arch: str) -> list[np.ndarray]:
        found = self.run(source, *names, arch=arch)
        return found if len(names) != 1 else [found]


@pytest.fixture
def machines(tmp_path):
    return Machines(tmp_path)


@pytest.fixture
def fresh_machines(tmp_path):
    """For tests that make many programs: a folder of its own for each."""
    count = iter(range(1 << 30))

    def make() -> Machines:
        folder = tmp_path / str(next(count))
        folder.mkdir()
        return Machines(folder)

    return make
