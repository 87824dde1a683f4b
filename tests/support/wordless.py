"""The tables of words, with no words in them: what still tells one wait from another does not read prose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from meshlang.fabric import wording
from meshlang.inspect import steps


@contextmanager
def wordless() -> Iterator[None]:
    """Every text about waits and about the steps of an explanation is "x"."""
    tables = (wording.REASONS, wording.SUBJECTS, wording.GATES, steps.WORDS)
    with mock.patch.object(wording, "KEPT", "x"):
        before = [dict(table) for table in tables]
        try:
            for table in tables:
                table.update(dict.fromkeys(table, "x"))
            yield
        finally:
            for table, words in zip(tables, before, strict=True):
                table.update(words)
