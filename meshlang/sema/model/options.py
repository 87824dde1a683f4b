"""What a compilation is told: one record, from the command line and the Python API to the analysis."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...diag import Diagnostic, MeshlangError

ARCHITECTURES = ("wse2", "wse3")
FP16_FORMATS = ("f16", "bf16", "cb16")


@dataclass
class CompileOptions:
    arch: str = "wse2"
    params: dict[str, Any] = field(default_factory=dict)  # values of the top file's params, by name
    colors: dict[str, int] = field(default_factory=dict)  # numbers of its colors, by name
    import_paths: list[str] = field(default_factory=list)  # folders in which @import_module looks, too
    fabric_dims: tuple[int, int] | None = None  # columns and rows of the fabric the program is for
    fabric_offsets: tuple[int, int] | None = None  # of the rectangle's corner on it
    fp16_format: str = "f16"
    max_inlined_iterations: int = 100_000  # of one inline loop
    max_comptime_steps: int = (
        20_000_000  # rounds of loops in one comptime function or block: half a million PEs, or more
    )
    comptime_func_depth_limit: int = 200  # comptime calls inside each other
    together: bool = True  # evaluate loops of the layout for all their rounds at once; results are the same
    simd: int = 0  # isa.Simd of a fabric DSD without simd_mode

    def check(self) -> None:
        """MS0214, MS0399."""
        if self.arch not in ARCHITECTURES:
            raise MeshlangError(
                Diagnostic("MS0214", f"there is no architecture '{self.arch}'", help="use wse2 or wse3"), exit_code=2
            )
        if self.fp16_format not in FP16_FORMATS:
            raise MeshlangError(
                Diagnostic("MS0214", f"there is no 16-bit float format '{self.fp16_format}'", help="use f16"),
                exit_code=2,
            )
        if self.fp16_format != "f16":
            raise MeshlangError(
                Diagnostic("MS0399", f"--fp16-format={self.fp16_format} is not supported yet: programs run in f16")
            )
