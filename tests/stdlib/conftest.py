"""One-PE programs around a piece of the standard library."""

from __future__ import annotations

import numpy as np
import pytest

import meshlang

LAYOUT = """
const memcpy = @import_module("<memcpy/get_params>", .{ .width = 1, .height = 1 });
layout {
  @set_rectangle(1, 1);
  @set_tile_code(0, 0, "pe.csl", .{ .memcpy_params = memcpy.get_params(0) });
%s
  @export_name("main", fn()void);
}
"""

PE = """
param memcpy_params;
const sys = @import_module("<memcpy/memcpy>", memcpy_params);
%s
comptime {
%s
  @export_symbol(main);
}
"""


class OnePe:
    """Compile and run `source`, which defines `fn main() void`; `arrays` are exported: name -> (type, elements)."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(
        self,
        source: str,
        arrays: dict[str, tuple[str, int]],
        inputs: dict[str, np.ndarray] | None = None,
        arch: str = "wse3",
    ) -> dict[str, np.ndarray]:
        names = "".join(f'  @export_name("{n}", [*]{t}, true);\n' for n, (t, _) in arrays.items())
        decls = "".join(f"var {n}: [{k}]{t};\nvar {n}_ptr: [*]{t} = &{n};\n" for n, (t, k) in arrays.items())
        exports = "".join(f'  @export_symbol({n}_ptr, "{n}");\n' for n in arrays)
        (self.folder / "layout.csl").write_text(LAYOUT % names)
        (self.folder / "pe.csl").write_text(PE % (decls + source, exports))
        program = meshlang.compile(str(self.folder / "layout.csl"), arch=arch)
        with program.start() as fabric:
            for n, v in (inputs or {}).items():
                fabric.write(n, v.reshape(1, 1, -1))
            fabric.launch("main")
            out = {n: fabric.read(n, count=k)[0, 0] for n, (_, k) in arrays.items()}
            self.fabric = fabric
        return out


@pytest.fixture
def one_pe(tmp_path):
    return OnePe(tmp_path)
