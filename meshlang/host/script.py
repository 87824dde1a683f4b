"""Run a user's Python script in this process as `__main__`, with its tracebacks kept its own."""

from __future__ import annotations

import ast
import io
import os
import platform
import sys
import traceback
import types
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType

from meshlang.diag import MeshlangError, usage_error

from .build import unreadable

# text and path of a script -> its code
Compiler = Callable[[str, str], CodeType]

# what published host scripts import beside numpy; the extra `scripts` of pyproject.toml
SCRIPT_PACKAGES = ("matplotlib", "pandas", "scipy")


def enable_vendor_modules() -> None:
    """Make `cerebras...` importable in this process and in Python processes it starts."""
    from meshlang.paths import sdk_site_dir

    site = str(sdk_site_dir())
    if site not in sys.path:
        sys.path.insert(0, site)
    inherited = os.environ.get("PYTHONPATH", "")
    if site not in inherited.split(os.pathsep):
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [site, inherited]))


# of the python command: those that a script may feel are followed, the others concern Python's own start
_WITHOUT_EFFECT = frozenset("bBdEiIOPqsSvx")


def _after_options(arguments: Sequence[str]) -> list[str]:
    """What is left behind the options of the python command, which are followed here."""
    rest = list(arguments)
    while rest and len(rest[0]) > 1 and rest[0][0] == "-":
        option = rest.pop(0)
        if option in ("-V", "--version"):
            return ["-c", f"print('Python {platform.python_version()}')"]
        letters = option[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in "cm":
                return [f"-{letter}", *([letters] if letters else []), *rest]
            if letter in "WX":
                value = letters or (rest.pop(0) if rest else "")
                letters = ""
                action = value.partition(":")[0]
                for name in ("default", "error", "ignore", "always", "module", "once"):
                    if letter == "W" and action and name.startswith(action):
                        warnings.simplefilter(name)  # type: ignore[arg-type]
            elif letter == "u":
                for stream in (sys.stdout, sys.stderr):
                    if isinstance(stream, io.TextIOWrapper):
                        stream.reconfigure(write_through=True)
            elif letter not in _WITHOUT_EFFECT:
                raise usage_error(f"cs_python: Python has no option {option}")
    return rest


def run_arguments(arguments: Sequence[str], vendor: bool = False) -> int:
    """`SCRIPT ARGS`, `-m MODULE ARGS`, `-c CODE ARGS` or `-` (standard input), with options, as the python command takes
    them. Returns the exit code. MS0905 for an option that Python does not have.

    vendor: it expects the vendor's Python, that is `cerebras...` and the arithmetic of NumPy 1.
    """
    arguments = _after_options(arguments)
    if vendor:
        from .sdk.promotion import compiled, modules_of_the_script

        enable_vendor_modules()
        with modules_of_the_script():
            return _run(arguments, compiled)
    return _run(arguments, _plain)


def _run(arguments: Sequence[str], compiler: Compiler) -> int:
    if not arguments or arguments[0] == "-":
        return _execute(sys.stdin.read(), "<stdin>", ["-", *arguments[1:]], "", compiler)
    first, rest = arguments[0], list(arguments[1:])
    if first == "-c" and rest:
        return _execute(rest[0], "<string>", ["-c", *rest[1:]], "", compiler)
    if first == "-m" and rest:
        import runpy

        sys.path.insert(0, "")
        sys.argv = rest
        return _guard(lambda: runpy.run_module(rest[0], run_name="__main__", alter_sys=True), None)
    return run_script(first, rest, compiler)


def is_of_the_vendor(path: str | Path) -> bool:
    """Does a script import `cerebras...`? (False for one that cannot be read.)"""
    try:
        tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return False
    names = [
        name
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    ]
    return any(name.partition(".")[0] == "cerebras" for name in names)


def _plain(source: str, path: str) -> CodeType:
    return compile(source, path, "exec", dont_inherit=True)


def run_script(path: str | Path, arguments: Sequence[str] = (), compiler: Compiler = _plain) -> int:
    """Run a script file. Returns its exit code; errors are printed. MS0901 when it cannot be read."""
    try:
        source = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from None
    return _execute(source, str(path), [str(path), *arguments], str(Path(path).resolve().parent), compiler)


def _execute(source: str, path: str, argv: list[str], folder: str, compiler: Compiler) -> int:
    module = types.ModuleType("__main__")
    module.__file__ = path
    module.__builtins__ = __builtins__  # type: ignore[attr-defined]
    saved = sys.argv, sys.modules["__main__"], list(sys.path)
    sys.argv, sys.modules["__main__"] = argv, module
    sys.path.insert(0, folder)

    def body() -> None:
        exec(compiler(source, path), module.__dict__)

    try:
        return _guard(body, path)
    finally:
        sys.argv, sys.modules["__main__"], sys.path[:] = saved


def _print_error(error: BaseException) -> None:
    """The traceback without the frames that stand for the script's operators and calls (sdk/promotion.py)."""
    ours = {str(Path(__file__).parent / "sdk" / name) for name in ("promotion.py", "numpy_1.py")}
    shown: traceback.TracebackException | None = traceback.TracebackException.from_exception(error)
    whole = shown
    while shown is not None:
        shown.stack = traceback.StackSummary.from_list([f for f in shown.stack if f.filename not in ours])
        shown = shown.__cause__ or shown.__context__
    assert whole is not None
    print("".join(whole.format()), end="", file=sys.stderr)


def _guard(body, path: str | None) -> int:
    """Run `body`, and make an exit code of however it ends."""
    try:
        body()
    except MeshlangError as error:
        frames = traceback.extract_tb(error.__traceback__)
        mine = [f for f in frames if path is not None and f.filename == path]
        if mine and error.diagnostics and (error.diagnostics[0].span is None or error.exit_code == 3):
            error.diagnostics[0].notes.append(f"from {mine[-1].filename}:{mine[-1].lineno}: {mine[-1].line}")
        raise
    except SystemExit as exit_:
        if exit_.code is None:
            return 0
        if isinstance(exit_.code, int):
            return exit_.code
        print(exit_.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        raise  # the reader of the output has gone, which is no mistake of the script
    except BaseException as error:
        # the traceback starts at the user's script: our own frames above it would only distract
        tb = error.__traceback__
        while tb is not None and path is not None and tb.tb_frame.f_code.co_filename != path:
            tb = tb.tb_next
        sys.stdout.flush()
        _print_error(error.with_traceback(tb or error.__traceback__))
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in SCRIPT_PACKAGES:
            print(
                f"meshlang: {error.name} comes with the vendor's SDK, and not with MeshLang: pip install 'meshlang[scripts]'",
                file=sys.stderr,
            )
        return 1
    return 0
