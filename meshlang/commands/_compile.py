"""The options of every command that compiles a program: those of CompileOptions."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any

from meshlang.host.values import int_pair, name_values, number_or_text
from meshlang.sema.model.options import CompileOptions

_OPTIONS = [f for f in fields(CompileOptions) if "flags" in f.metadata]


def add_arguments(parser: argparse.ArgumentParser, params: bool = True, lists: tuple[str, ...] = ()) -> None:
    """`params`: -p NAME=VALUE, too. `lists`: fields that take texts, lists of values with commas (meshlang sweep)."""
    if params:
        parser.add_argument(
            "-p", "--param", action="append", metavar="NAME=VALUE", help="value of a parameter (repeatable)"
        )
    group = parser.add_argument_group("compiling")
    for f in _OPTIONS:
        how = {k: v for k, v in f.metadata.items() if k not in ("flags", "pair")}
        if f.name in lists:
            how = {"help": f"{how['help']}; several with commas", "metavar": "LIST"}
        group.add_argument(*f.metadata["flags"], dest=f.name, **how)


def given(args: argparse.Namespace) -> dict[str, Any]:
    """What the command line says, by field of CompileOptions. MS0905."""
    found = {}
    for f in _OPTIONS:
        value = getattr(args, f.name)
        if value is not None:
            found[f.name] = int_pair(value, f.metadata["flags"][-1]) if "pair" in f.metadata else value
    return found


def as_arguments(args: argparse.Namespace, without: tuple[str, ...] = ()) -> list[str]:
    """The options of a command line again, as another process takes them."""
    out: list[str] = []
    for f in _OPTIONS:
        value = getattr(args, f.name)
        if value is None or f.name in without:
            continue
        if "const" in f.metadata:  # the flag says it all
            out.append(f.metadata["flags"][-1])
        else:
            out += [
                part
                for v in (value if isinstance(value, list) else [value])
                for part in (f.metadata["flags"][-1], str(v))
            ]
    return out


def options(args: argparse.Namespace) -> CompileOptions:
    """With the values of -p."""
    return CompileOptions(params={k: number_or_text(v) for k, v in name_values(args.param).items()}, **given(args))
