"""`meshlang cslc`: the vendor compiler's command line (reference: its `cslc` documentation page).

Flags that only steer the vendor's own tool chain are accepted and have no effect; they are listed in `NO_EFFECT`. Those that
place sections have none either, and a warning says so.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from meshlang.version import __version__

from . import _compile

if TYPE_CHECKING:
    from meshlang.diag import Diagnostic

HELP = "compile with the vendor compiler's command line"
DESCRIPTION = "Compile a layout file into an output folder, with the command line of the vendor's cslc."
EXAMPLES = """\
examples:
  meshlang cslc layout.csl --fabric-dims=8,3 --fabric-offsets=4,1 -o out --memcpy --channels 1
  meshlang cslc --arch=wse3 layout.csl --params=P:8,Mt:4 --params=Nt:4 -o=out
"""

# (flag, takes a value): of interest to the vendor's assembler, linker and file formats only
NO_EFFECT = (
    ("--channels", True),
    ("--out-routes", False),
    ("--max-parallelism", True),
    ("-g0", False),
    ("--verbose", False),
    ("--no-warn-code-cov", False),
    ("--memcpy", False),
)
# what a program could see of them is different here: a warning says so
SECTIONS = ("--link-section-start-address-bytes", "--link-section-start-addresses")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="the layout file")
    parser.add_argument("--version", action="version", version=f"meshlang {__version__}")
    parser.add_argument(
        "-o", "--o", "--output", dest="out", default="out", metavar="DIR", help="output folder (default: out)"
    )
    parser.add_argument("--params", action="append", metavar="N:V,...", help="parameter values (repeatable)")
    parser.add_argument("--colors", action="append", metavar="N:V,...", help="color parameter values (repeatable)")
    _compile.add_arguments(parser, params=False)
    parser.add_argument("--warnings-as-errors", action="store_true")
    parser.add_argument("--output-json", nargs="?", const="", metavar="PATH", help="write the metadata file here too")
    for flag in ("--width-west-buf", "--width-east-buf"):
        parser.add_argument(
            flag, type=int, default=0, metavar="N", help="columns of the fabric that memcpy's buffers take"
        )
    for flag, value in NO_EFFECT:
        if value:
            parser.add_argument(flag, metavar="V", help="accepted for compatibility")
        else:
            parser.add_argument(flag, action="store_true", help="accepted for compatibility")
    for flag in SECTIONS:
        parser.add_argument(
            flag, metavar="NAME:ADDRESS", help="has no effect: variables lie where the compiler puts them"
        )


def execute(args: argparse.Namespace) -> int:

    from meshlang import files
    from meshlang.diag import Diagnostic, MeshlangError
    from meshlang.diag.render import SHOWN
    from meshlang.host.build import build
    from meshlang.host.values import vendor_pairs
    from meshlang.ir.serial import save
    from meshlang.sema.model.options import CompileOptions

    from ._errors import print_diagnostics
    from ._outputs import output, output_folder

    output_folder("-o", args.out)
    if args.output_json:
        output("--output-json", args.output_json)
    _check_channels(args.channels)
    options = CompileOptions(
        params=vendor_pairs(args.params, "--params"),
        colors=vendor_pairs(args.colors, "--colors"),
        **_compile.given(args),
    )
    program = build(args.file, options)
    dims, offsets = options.fabric_dims, options.fabric_offsets
    if args.memcpy and dims is not None:
        _check_room(args, dims, offsets, program.fabric.width, program.fabric.height)
    warnings = [*_without_effect(args), *program.warnings]
    print_diagnostics(warnings, most=SHOWN)
    if args.warnings_as_errors and warnings:
        raise MeshlangError(Diagnostic("MS0905", f"{len(warnings)} warnings, and --warnings-as-errors was given"))
    out = save(program, args.out)
    if args.output_json:
        files.write_bytes(args.output_json, (out / "out.json").read_bytes())
    if args.verbose:
        print(f"compiled {args.file} into {out}", file=sys.stderr)
    return 0


def _without_effect(args: argparse.Namespace) -> list[Diagnostic]:
    """MS1504 for options that place sections."""
    from meshlang.diag import Diagnostic

    return [
        Diagnostic(
            "MS1504",
            f"{flag} has no effect: variables with linksection lie where the compiler puts them",
            severity="warning",
            help="leave it out, and take addresses from the program: &variable, or `get_id` on the host",
        )
        for flag in SECTIONS
        if getattr(args, flag[2:].replace("-", "_")) is not None
    ]


def _check_channels(text: str | None) -> None:
    from meshlang.diag import usage_error

    if text is None:
        return
    if not text.isdigit() or not 1 <= int(text) <= 16:
        raise usage_error(f"--channels={text}: expected a number from 1 to 16")


# columns and rows around the program's rectangle that memcpy needs: west, north, east, south (facts 4.7)
MEMCPY_MARGINS = (4, 1, 3, 1)


def _check_room(
    args: argparse.Namespace, dims: tuple[int, int], offsets: tuple[int, int] | None, width: int, height: int
) -> None:
    """What memcpy puts around the program's rectangle must lie inside the fabric, too."""
    from meshlang.diag import usage_error

    west, north, east, south = MEMCPY_MARGINS
    west += args.width_west_buf
    east += args.width_east_buf
    x, y = offsets or (west, north)
    if x < west or y < north:
        raise usage_error(
            f"--fabric-offsets={x},{y}: memcpy needs {west} columns west and {north} row north of the program's rectangle",
            help=f"at least --fabric-offsets={west},{north}",
        )
    need = (x + width + east, y + height + south)
    if dims[0] < need[0] or dims[1] < need[1]:
        raise usage_error(
            f"--fabric-dims={dims[0]},{dims[1]}: memcpy needs {east} columns east and {south} row south of the program's rectangle, "
            f"{width} x {height} PEs at {x},{y}",
            help=f"at least --fabric-dims={need[0]},{need[1]}",
        )
