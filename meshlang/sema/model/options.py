"""What a compilation is told: one record, from the command line and the Python API to the analysis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from os import PathLike
from typing import Any

from ...diag import Diagnostic, MeshlangError, usage_error

ARCHITECTURES = ("wse2", "wse3")
MOST_COLUMNS_OR_ROWS = 4096  # of a fabric: several times any wafer (762 x 1172)
FP16_FORMATS = ("f16", "bf16", "cb16")


def option(*flags: str, default: Any = None, make: Any = None, **how: Any) -> Any:
    """A field that is an option of the command line, too: its flags, and how argparse is told of it. `pair` means that
    the value is two numbers, W,H."""
    metadata = {"flags": flags, **how}
    return field(default_factory=make, metadata=metadata) if make else field(default=default, metadata=metadata)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_pair(value: Any) -> bool:
    return value is None or isinstance(value, (tuple, list)) and len(value) == 2 and all(_is_int(n) for n in value)


def _is_mapping(value: Any, *kinds: type) -> bool:
    """Texts as keys. Values the analysis knows already (Known) come from layouts that Python code makes."""
    from .values import Known

    return isinstance(value, dict) and all(
        isinstance(k, str) and isinstance(v, (Known, *kinds)) for k, v in value.items()
    )


# by the type that a field is declared with: what is expected, in words, and whether a value is that
_EXPECTED: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    "str": ("a text", lambda v: isinstance(v, str)),
    "int": ("an integer", _is_int),
    "bool": ("True or False", lambda v: isinstance(v, bool)),
    "list[str]": (
        "a list of folders",
        lambda v: isinstance(v, list) and all(isinstance(f, (str, PathLike)) for f in v),
    ),
    "tuple[int, int] | None": ("a pair of integers", _is_pair),
    "dict[str, Any]": (
        "a dictionary of numbers, truth values and texts by name",
        lambda v: _is_mapping(v, int, float, str),
    ),
    "dict[str, str]": ("a dictionary of texts by name", lambda v: _is_mapping(v, str)),
    "dict[str, int]": ("a dictionary of numbers by name", lambda v: _is_mapping(v, int)),
}


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
    cache: bool = option(
        "--no-cache",
        default=True,
        action="store_const",
        const=False,
        help="compile anew, and keep nothing of it for the next time",
    )
    # nothing is read outside this folder, links followed, but the standard library and the import paths; "": no such limit
    confined_to: str = ""
    max_comptime_steps: int = 20_000_000  # rounds of loops in one comptime function or block: a wafer has 500,000 PEs
    # the same and calls at compile time, outside the layout block, all together for one tile program: some seconds. Where it
    # is reached, no other tile program is compiled
    max_comptime_work: int = 800_000
    together: bool = True  # evaluate loops of the layout for all their rounds at once; results are the same
    simd: int = 0  # isa.Simd of a fabric DSD without simd_mode

    @property
    def comptime_limit(self) -> int:
        """The most rounds of a loop at compile time."""
        return max(self.max_comptime_steps, self.max_inlined_iterations)

    @property
    def layout_limit(self) -> int:
        """The most rounds and calls at compile time in the layout block, with the functions that it calls."""
        return 8 * self.comptime_limit

    @property
    def work_limit(self) -> int:
        """The most rounds and calls at compile time outside the layout block."""
        return max(self.max_comptime_work, self.max_inlined_iterations)

    def check(self) -> None:
        """MS0214, MS0399, MS0905."""
        for each in fields(self):
            value = getattr(self, each.name)
            if not _EXPECTED[each.type][1](value):
                raise usage_error(f"{each.name} is {_EXPECTED[each.type][0]}, not {value!r} ({type(value).__name__})")
        for name, most in (("max_inlined_iterations", 2**31), ("comptime_func_depth_limit", 100_000)):
            if not 1 <= getattr(self, name) <= most:
                bound = f"at least 1 and at most {most:,}"
                raise usage_error(f"--{name.replace('_', '-')} {getattr(self, name)}: expected {bound}")
        for name, low in (("fabric_dims", 1), ("fabric_offsets", 0)):
            pair = getattr(self, name)
            if pair is not None and not all(low <= n <= MOST_COLUMNS_OR_ROWS for n in pair):
                flag, shown = f"--{name.replace('_', '-')}", f"{pair[0]},{pair[1]}"
                raise usage_error(f"{flag} {shown}: expected {low} to {MOST_COLUMNS_OR_ROWS:,} columns and rows")
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
