"""`meshlang run`: a layout file, a program folder, or a Python host script."""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _compile, _limits, _trace

if TYPE_CHECKING:
    from meshlang.diag import Diagnostic
    from meshlang.fabric.recording import TraceOptions
    from meshlang.host.api import CompiledProgram, FabricHandle
    from meshlang.host.context import RunContext, Started

FULL_TABLES = 3  # programs whose resource table is printed in full after a run
LINES = 16  # programs that get a line each when there are more

HELP = "compile and run a layout file, a program folder, or a host script"
DESCRIPTION = """\
Compile a program and run it on the fabric interpreter.

PATH is a folder with a layout.csl (and a run.py, if it needs a host), a layout file, a folder that cslc wrote, or a
Python script that uses MeshLang's host API, or the vendor's. Without a run.py, --launch says what to start, and --set and --get what to
copy to and from the PEs.
"""
EXAMPLES = """\
examples:
  meshlang run programs/hello
  meshlang run programs/meshgemv -p P=16 --seed 7
  meshlang run layout.csl --set x=x.npy --set A=random --launch main --get y=y.npy
  meshlang run layout.csl --launch compute,3,0.5 --get y        arguments of a launch follow its name
  meshlang run my_host.py -p size=32 --arch wse3
  meshlang run run.py --args '--name out' --trace run.csv       a script of the vendor's, with arguments of its own
  meshlang run programs/meshgemv --json                         results, cycles and resources for a script
  meshlang run programs/meshgemv --html mesh.html               record what the fabric does, and look at it in a browser
  meshlang run my_program --strict                              stop at what the machine would let pass

--launch and --get work in the order: all --set, all --launch, all --get. A program that nothing launches (and that
exports only one function without parameters) has that function launched; --launch none prevents it.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_program_arguments(parser)
    parser.add_argument("--json", action="store_true", help="results as JSON on stdout")
    _limits.add_arguments(parser)
    _trace.add_arguments(parser)


def add_program_arguments(parser: argparse.ArgumentParser, lists: bool = False) -> None:
    """What to run and how: for every command that runs a program (`perform`). `lists`: profile, seed, arch and -O take
    texts, lists of values with commas."""
    parser.add_argument("path", metavar="PATH", help="program folder, layout file, compiled folder, or host script")
    parser.add_argument("--args", metavar="TEXT", help="arguments of a host script, as in a shell")
    parser.add_argument("--profile", help="timing profile: wse2, wse2-silicon, wse3, wse3-silicon, or a .toml file")
    parser.add_argument(
        "--launch", action="append", metavar="NAME[,ARGS]", help="call an exported function (repeatable)"
    )
    parser.add_argument(
        "--set",
        action="append",
        metavar="SYMBOL=VALUE",
        dest="sets",
        help="data for a symbol: file.npy, a number, random or zeros (repeatable)",
    )
    parser.add_argument(
        "--get",
        action="append",
        metavar="SYMBOL[=FILE]",
        help="print a symbol, or save it: .npy .txt .csv .json (repeatable)",
    )
    parser.add_argument("--seed", type=str if lists else int, help="seed of random data (default 0)")
    parser.add_argument("--max-cycles", type=int, metavar="N", help="stop a run that takes longer")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="what the machine lets pass stops the run, instead of a warning at the end",
    )
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="run large meshes on so many threads, with the same results and cycles (default MESHLANG_THREADS, else 2 from 65,536 PEs on)",
    )
    _compile.add_arguments(parser, lists=("arch", "optimise") if lists else ())


def execute(args: argparse.Namespace) -> int:
    from meshlang.host.context import RunContext, set_context

    from ._errors import print_run_time_warnings

    _limits.check(args)
    context = prepare(args, _trace.trace_options(args))
    context.options.update(_limits.confinement(args))
    try:
        with _limits.limited(args.max_seconds, args.max_memory):
            code = perform(args, context)
        if not code:
            _print_summary(context)
        return code
    finally:
        print_run_time_warnings(context)
        _print_what_breaks(context)
        _trace.write_traces(_trace.files_of(args), context)
        set_context(RunContext())


MOST_CODE = 200_000  # instructions of a program that is looked at


def _print_what_breaks(context: RunContext) -> None:
    """Lint's warnings about what runs here and breaks on the machine, of each program that has run."""
    from meshlang.diag.render import SHOWN, render_text
    from meshlang.inspect.lint import BREAKS, lint

    programs = {id(session.program): session.program for session in context.sessions or ()}
    found: dict[tuple[str, str, str], Diagnostic] = {}
    for program in programs.values():
        if sum(len(tile.code) for tile in program.tiles) <= MOST_CODE:
            found |= {(d.code, d.message, str(d.span)): d for d in lint(program) if d.code in BREAKS}
    if found:
        render_text(list(found.values()), most=SHOWN)


def prepare(args: argparse.Namespace, trace: TraceOptions | None) -> RunContext:
    """The context of a run, installed for host scripts."""
    from meshlang.diag import usage_error
    from meshlang.host.context import RunContext, set_context
    from meshlang.host.values import name_values

    path = Path(args.path)
    if not path.exists():
        raise _not_there(path)
    if args.max_cycles is not None and args.max_cycles < 1:
        raise usage_error(f"--max-cycles {args.max_cycles}: expected at least 1")
    if args.threads is not None and args.threads < 1:
        raise usage_error(f"--threads {args.threads}: expected at least 1")
    context = set_context(
        RunContext(
            params=name_values(args.param),
            options=_compile.given(args),
            profile=args.profile,
            seed=args.seed,
            max_cycles=args.max_cycles,
            json=args.json,
            active=True,
            sessions=[],
            trace=trace,
        )
    )
    if args.strict:
        context.strict = True
    context.threads = args.threads
    return context


def _not_there(path: Path) -> Exception:
    """MS0901; an example that has not been copied yet is named as one."""
    from meshlang.host.build import unreadable
    from meshlang.paths import programs_dir

    error = unreadable(path, FileNotFoundError(2, "No such file or directory"))
    if (programs_dir() / path.name / "run.py").is_file():
        to = "" if path.parent == Path(".") else f" --to {path.parent}"
        error.diagnostics[
            0
        ].help = f"{path.name} is an example that comes with MeshLang: meshlang examples copy {path.name}{to}"
    return error


def perform(args: argparse.Namespace, context: RunContext) -> int:
    """Run the program; the exit code."""
    from meshlang.diag import usage_error

    path = Path(args.path)
    script = path if path.suffix == ".py" else path / "run.py" if (path / "run.py").is_file() else None
    if script is None:
        if getattr(args, "args", None) is not None:
            raise usage_error(
                f"--args has no use here: {path} is no host script", help="-p NAME=VALUE sets params of a program"
            )
        _check_files(args.get)
        with _stdout_to_stderr(args.json):
            _run_layout(args, path, context)
        if not args.json:  # a host script prints for itself; what it records is for --json
            for name, value in context.results.items():
                print(f"{name} = {_short(value)}")
        return 0
    given = [o for o, v in (("--launch", args.launch), ("--set", args.sets), ("--get", args.get)) if v]
    if given:
        raise usage_error(
            f"{given[0]} has no use here: {script} is the host of this program",
            help=f"name the layout file to do without it: meshlang run {path / 'layout.csl'} ...",
        )
    context.folder = script.resolve().parent
    return _run_script(args, script, context)


def _run_script(args: argparse.Namespace, script: Path, context: RunContext) -> int:
    from meshlang.diag import usage_error
    from meshlang.host.context import unknown_param
    from meshlang.host.script import is_of_the_vendor, run_arguments

    try:
        more = shlex.split(getattr(args, "args", None) or "")
    except ValueError as error:
        raise usage_error(f"--args {args.args!r}: {error}", help="quotation marks come in pairs") from None
    with _stdout_to_stderr(args.json):
        code = run_arguments([str(script), *more], vendor=is_of_the_vendor(script))
    ignored = [name for name in context.params if name not in context.used]
    if not code and ignored:
        raise unknown_param(ignored[0], context.used)
    return code


@contextlib.contextmanager
def _stdout_to_stderr(active: bool) -> Iterator[None]:
    """With --json stdout holds the JSON alone."""
    if active:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    else:
        yield


# ---------------------------------------------------------------- without a host script


def _run_layout(args: argparse.Namespace, path: Path, context: RunContext) -> None:
    from meshlang.host import api
    from meshlang.host.values import number_or_text

    if path.is_dir() and (path / "bin" / "program.json").is_file():
        program = api.load(path)
        if context.params:
            from meshlang.diag import usage_error

            raise usage_error(f"-p has no use here: {path} is compiled already")
    else:
        program = api.compile(path, params={k: number_or_text(v) for k, v in context.params.items()})
    fabric = program.start()
    for item in args.sets or ():
        _set(fabric, item, context.seed or 0)
    launches = _launches(args.launch, program)
    for name, arguments in launches:
        fabric.launch(name, *arguments)
    fabric.run()
    if not launches and not args.launch:
        _name_functions(program)
    for item in args.get or ():
        symbol, _, file = item.partition("=")
        value = fabric.read(symbol)
        if file:
            _save(file, value)
        else:
            context.result(**{symbol: value})


def _check_files(given: list[str] | None) -> None:
    """Refuse a --get file that could not be written before the run, not behind it."""
    from ._outputs import output

    for item in given or ():
        file = item.partition("=")[2]
        if file:
            output("--get", file, (".npy", ".txt", ".csv", ".json"))


def _name_functions(program: CompiledProgram) -> None:
    """Say what could have been called: a program whose functions wait for the host does next to nothing without."""
    from meshlang.host.symbols import Symbols

    functions = [s for s in Symbols(program.ir).all if s.kind == "fn"]
    if functions:
        names = ", ".join(f"{f.name}({', '.join(f.params)})" for f in functions)
        example = ",".join([functions[0].name, *("VALUE" for _ in functions[0].params)])
        print(
            f"meshlang: no function was called; the program exports {names}. To call one: --launch {example}; "
            "to have none called: --launch none",
            file=sys.stderr,
        )


def _launches(given: list[str] | None, program: CompiledProgram) -> list[tuple[str, list[Any]]]:
    from meshlang.host.symbols import Symbols

    symbols = Symbols(program.ir)
    functions = [s for s in symbols.all if s.kind == "fn"]
    if given == ["none"]:
        return []
    if not given:
        return [(functions[0].name, [])] if len(functions) == 1 and not functions[0].params else []
    out = []
    for item in given:
        name, *texts = item.split(",")
        function = symbols.function(name)
        out.append((name, [_argument(t, k) for t, k in zip(texts, function.params)] + texts[len(function.params) :]))
    return out


def _argument(text: str, kind: str) -> Any:
    """A launch argument in its parameter's type; text that is no number is left for the type check to refuse."""
    from meshlang.host.values import number_or_text

    value = number_or_text(text)
    if kind == "bool" and value in (0, 1):
        return bool(value)
    return float(value) if kind.startswith("f") and isinstance(value, int) else value


def _set(fabric: FabricHandle, item: str, seed: int) -> None:
    """SYMBOL=file.npy | number | random | zeros. Random: floats uniform in [-1, 1), integers in 0..99, each symbol its own
    sequence."""
    import zlib

    import numpy as np

    from meshlang.diag import Diagnostic, MeshlangError, usage_error
    from meshlang.host.values import number_or_text

    symbol, eq, value = item.partition("=")
    if not eq:
        raise usage_error(
            f"--set {item}: expected SYMBOL=VALUE", help="VALUE is a .npy file, a number, random or zeros"
        )
    target = fabric.session.symbols.data(symbol)
    if value in ("random", "zeros"):
        size = fabric.read(symbol).shape
        if value == "zeros":
            data = np.zeros(size, target.dtype)
        else:
            rng = np.random.default_rng([seed, zlib.crc32(symbol.encode())])
            data = rng.uniform(-1, 1, size) if target.dtype.kind == "f" else rng.integers(0, 100, size)
            data = data.astype(target.dtype)
        fabric.write(symbol, data)
        return
    number = number_or_text(value)
    if isinstance(number, (int, float)):
        filled = np.full(fabric.read(symbol).shape, number)
        # a float is meant in the symbol's own precision; what an integer type cannot hold is refused by `write`
        fabric.write(symbol, filled.astype(target.dtype) if target.dtype.kind == "f" else filled)
        return
    forms = "VALUE is a .npy file, a number, random or zeros"
    try:
        data = np.load(value, allow_pickle=False)
    except OSError as error:
        from meshlang.host.build import unreadable

        refused = unreadable(value, error)
        refused.diagnostics[0].help = forms
        raise refused from None
    except ValueError as error:
        raise MeshlangError(
            Diagnostic(
                "MS0901",
                f"cannot read {value}: it is no .npy file of numbers ({error})",
                help=forms,
            )
        ) from None
    fabric.write(symbol, data)


def _save(file: str, value: Any) -> None:
    """The ending chooses the form: .npy; .txt and .csv with a line for each PE, row by row; .json."""
    import numpy as np

    from meshlang import files

    ending = Path(file).suffix.lower()
    array = np.asarray(value)
    if ending == ".npy":
        with files.replacing(file) as out:
            np.save(out, array)
    elif ending in (".txt", ".csv"):
        sign = "," if ending == ".csv" else " "
        lines = [sign.join(map(str, row)) for row in array.reshape(-1, array.shape[-1]).tolist()]
        files.write_text(file, "\n".join(lines) + "\n")
    else:  # .json: _check_files lets no other pass
        files.write_text(file, json.dumps(array.tolist()) + "\n")


# ---------------------------------------------------------------- afterwards


def _print_summary(context: RunContext) -> None:
    from meshlang.host.report import resource_table

    from ._errors import compact

    if context.json:
        print(compact(_summary(context), default=_plain))
        return
    programs: dict[tuple, list[Started]] = {}
    for handle in context.handles:
        ir = handle.program.ir
        programs.setdefault((ir.source, *ir.params.items(), resource_table(ir)), []).append(handle)
    if len(programs) > FULL_TABLES:
        _print_many(list(programs.values()))
        return
    for (*_, table), handles in programs.items():
        model = handles[0].session.machine.profile
        profile = f"{model.name} profile, accuracy {model.accuracy.partition(':')[0]}"
        if len(handles) == 1:
            print(f"\n{handles[0].cycles:,} cycles ({profile})")
        else:
            print(
                f"\n{len(handles)} fabrics with this program: {_range([h.cycles for h in handles])} cycles ({profile})"
            )
        for handle in handles:
            if handle.session.warnings.total:
                print(handle.session.warnings.summary())
        print(table)


def _print_many(programs: list[list[Started]]) -> None:
    """A line for each program of a host script that started many."""
    from meshlang.host.report import resources

    print(f"\n{sum(map(len, programs))} fabrics with {len(programs)} programs; `meshlang report` shows more of each")
    rows = [("fabrics", "rectangle", "cycles", "colors", "memory", "tile programs")]
    for handles in programs[:LINES]:
        r = resources(handles[0].program.ir)
        most = max((t["memory"] for t in r["tiles"]), default=0)
        rows.append(
            (
                str(len(handles)),
                f"{r['width']} x {r['height']}",
                _range([h.cycles for h in handles]),
                str(len(r["colors"])),
                f"{most:,} B",
                str(len(r["tiles"])),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths)))
    if len(programs) > LINES:
        print(f"  and {len(programs) - LINES} more programs")
    for handles in programs:
        for handle in handles:
            if handle.session.warnings.total:
                print(handle.session.warnings.summary())


def _range(cycles: list[int]) -> str:
    return f"{min(cycles):,}" if min(cycles) == max(cycles) else f"{min(cycles):,} to {max(cycles):,}"


def _summary(context: RunContext) -> dict[str, Any]:
    from meshlang.diag.render import to_json

    runs = []
    for handle in context.handles:
        stats = {k: v for k, v in handle.stats().items() if isinstance(v, (int, float, str))}
        runs.append(
            {
                "cycles": handle.cycles,
                "profile": handle.session.machine.profile.name,
                "accuracy": handle.session.machine.profile.accuracy,
                "stats": stats,
                "resources": handle.program.resources(),
                "sim_log": handle.lines,
                "warnings": handle.session.warnings.to_json() + to_json(handle.session.machine.warnings),
            }
        )
    return {"ok": True, "exit_code": 0, "results": context.results, "runs": runs}


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _short(value: Any) -> str:
    import numpy as np

    if not isinstance(value, np.ndarray):
        return str(value)
    text = np.array2string(value, threshold=64, edgeitems=3, max_line_width=110)
    return f"{value.dtype.name} {list(value.shape)}\n{text}" if value.ndim > 1 else text
