"""What help says of defaults is what is taken."""

import argparse
import re

import pytest

from meshlang.cli import COMMANDS, build_parser
from meshlang.fabric.recording import TraceOptions


def options(parser, name=""):
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command, inner in action.choices.items():
                yield from options(inner, f"{name} {command}".strip())
        elif action.option_strings and action.help:
            yield f"{name} {action.option_strings[-1]}", action


def said(text):
    """The default that a help text gives, if it is a number, sizes, or numbers."""
    found = re.search(r"\(default (\d[\dx.,]*?)(?=[.,;:]?[\s)])", text)
    return found[1] if found else None


EVERY = dict(options(build_parser(tuple(COMMANDS))))


@pytest.mark.parametrize("name", [n for n, a in EVERY.items() if said(a.help) is not None and a.default is not None])
def test_defaults(name):
    default, told = EVERY[name].default, said(EVERY[name].help)
    assert told == default if isinstance(default, str) else float(told.replace(",", "")) == default


def test_how_many_events_are_kept():
    assert said(EVERY["run --trace-limit"].help) == f"{TraceOptions().limit:,}" == "20,000,000"
