"""Of names that are known, the one that was meant."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like one that is not known; None if none is much like it."""
    import difflib

    return next(iter(difflib.get_close_matches(name, list(known), 1)), None)


def did_you_mean(name: str, known: Iterable[str], shown: str = "'{}'") -> str | None:
    """The help for a name that is not known. shown: how names look in the message."""
    near = nearest(name, known)
    return None if near is None else f"did you mean {shown.format(near)}?"
