"""`meshlang completion`: what makes a shell complete commands, options and files with Tab."""

from __future__ import annotations

import argparse

HELP = "print what makes your shell complete meshlang's commands and options"
EXAMPLES = """\
examples:
  eval "$(meshlang completion bash)"                              in ~/.bashrc
  eval "$(meshlang completion zsh)"                               in ~/.zshrc, behind compinit
  meshlang completion fish > ~/.config/fish/completions/meshlang.fish

needs the extra `completion`: pip install 'meshlang[completion]'
"""
SHELLS = ("bash", "zsh", "fish")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="your shell")


def execute(args: argparse.Namespace) -> int:
    from meshlang.diag import usage_error

    try:
        import argcomplete
    except ImportError:
        raise usage_error(
            "completion needs the package argcomplete, which is not installed",
            help="pip install 'meshlang[completion]', or pip install argcomplete",
        ) from None
    print(argcomplete.shellcode(["meshlang"], shell=args.shell))  # type: ignore[no-untyped-call]
    return 0
