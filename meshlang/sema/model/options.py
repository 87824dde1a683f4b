"""What a compilation is told: one record, from the command line and the Python API to the analysis."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...diag import Diagnostic, MeshlangError, usage_error

ARCHITECTURES = ("wse2", "wse3")
FP16_FORMATS = ("f16", "bf16", "cb16")


def option(*flags: str, default: Any = None, make: Any = None, **how: Any) -> Any:
    """A field that is an option of the command line, too: its flags, and how argparse is told of it. `pair` means that
    the value is two numbers, W,H."""
    metadata = {"flags": flags, **how}
    return field(default_factory=make, metadata=metadata) if make else field(default=default, metadata=metadata)


@dataclass
class CompileOptions:
    """A field with flags is an option of every command that compiles (commands/_compile.py) and a keyword of
    `meshlang.compile`; nothing else has to know of it but the code that reads it."""

    arch: str = option("--arch", default="wse2", choices=ARCHITECTURES, help="machine generation (default wse2)")
    params: dict[str, Any] = field(default_factory=dict)  # values of the top file's params, by name
    colors: dict[str, int] = field(default_factory=dict)  # numbers of its colors, by name
    # texts that stand for files (those of a stream, of an editor, of a program in memory), by normalised path
    sources: dict[str, str] = field(default_factory=dict)
    import_paths: list[str] = option(
        "-I", "--import-path", make=list, action="append", metavar="DIR", help="where imports are looked up too"
    )
    fabric_dims: tuple[int, int] | None = option("--fabric-dims", metavar="W,H", help="size of the fabric", pair=True)
    fabric_offsets: tuple[int, int] | None = option(
        "--fabric-offsets", metavar="X,Y", help="where the program's rectangle stands in the fabric", pair=True
    )
    fp16_format: str = option(
        "--fp16-format", default="f16", choices=FP16_FORMATS, help="format of 16-bit floats (f16, the only one yet)"
    )
    max_inlined_iterations: int = option(
        "--max-inlined-iterations",
        default=100_000,
        type=int,
        metavar="N",
        help="the most rounds of a loop that is unrolled (default 100,000), or of one at compile time (20,000,000)",
    )
    comptime_func_depth_limit: int = option(
        "--comptime-func-depth-limit",
        default=200,
        type=int,
        metavar="N",
        help="the most calls at compile time inside each other (default 200)",
    )
    optimise: int = option("-O", default=1, type=int, choices=(0, 1), help="level of optimisation: 0 or 1 (default 1)")
    max_comptime_steps: int = 20_000_000  # rounds of loops in one comptime function or block: a wafer has 500,000 PEs
    # the same and calls at compile time, outside the layout block, all together for one tile program: some seconds
    max_comptime_work: int = 800_000
    together: bool = True  # evaluate loops of the layout for all their rounds at once; results are the same
    simd: int = 0  # isa.Simd of a fabric DSD without simd_mode

    @property
    def comptime_limit(self) -> int:
        """The most rounds of a loop at compile time."""
        return max(self.max_comptime_steps, self.max_inlined_iterations)

    @property
    def work_limit(self) -> int:
        """The most rounds and calls at compile time outside the layout block."""
        return max(self.max_comptime_work, self.max_inlined_iterations)

    def check(self) -> None:
        """MS0214, MS0399, MS0905."""
        for name in ("max_inlined_iterations", "comptime_func_depth_limit"):
            if getattr(self, name) < 1:
                raise usage_error(f"--{name.replace('_', '-')} {getattr(self, name)}: expected at least 1")
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
