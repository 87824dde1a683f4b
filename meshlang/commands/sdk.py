"""`meshlang sdk -- COMMAND`: run a command that expects the vendor's SDK.

The command sees stand-ins named cslc and cs_python first on its PATH, and any Python below it can import `cerebras...`.
Both end with the command: nothing is installed.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import tempfile
from pathlib import Path

from meshlang.host.sdk.stand_ins import STAND_INS, environment, without_placeholders, write_stand_ins

HELP = "run a command (a shell script, say) that expects the vendor's SDK"
EXAMPLES = """\
examples:
  meshlang sdk -- bash commands_wse2.sh
  meshlang sdk -- bash run_sim.sh 4 16 16 2
  meshlang sdk -- python sweep.py
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="-- COMMAND ...", help="the command and its arguments"
    )


def _readable(command: list[str]) -> list[str]:
    """`bash SCRIPT ARGS`, with the text handed over where the script has placeholders; $0 stays the script."""
    if Path(command[0]).name not in ("bash", "sh") or len(command) < 2 or not Path(command[1]).is_file():
        return command
    text = Path(command[1]).read_text(encoding="utf-8", errors="surrogateescape")
    fixed = without_placeholders(text)
    return command if fixed == text else [command[0], "-c", fixed, *command[1:]]


def execute(args: argparse.Namespace) -> int:
    from meshlang.diag import Diagnostic, MeshlangError, usage_error

    command = args.arguments[1:] if args.arguments[:1] == ["--"] else args.arguments
    if not command:
        raise usage_error("sdk: which command?", help="for example: meshlang sdk -- bash commands_wse2.sh")
    with tempfile.TemporaryDirectory(prefix="meshlang-sdk-") as name:
        folder = Path(name)
        write_stand_ins(folder)
        if command[0] in STAND_INS:
            command[0] = str(folder / command[0])
        command = _readable(command)
        try:
            process = subprocess.Popen(command, env=environment(folder))
        except FileNotFoundError:
            raise MeshlangError(Diagnostic("MS0921", f"sdk: no command named {command[0]!r}"), exit_code=2) from None
        except PermissionError:
            raise MeshlangError(
                Diagnostic(
                    "MS0921",
                    f"sdk: {command[0]!r} is not executable",
                    help=f"for a shell script: meshlang sdk -- bash {command[0]}",
                ),
                exit_code=2,
            ) from None
        while True:
            try:
                code = process.wait()
                break
            except KeyboardInterrupt:  # the terminal sent it to the command as well: let it end in its own way
                process.send_signal(signal.SIGINT)
    return code if code >= 0 else 128 - code
