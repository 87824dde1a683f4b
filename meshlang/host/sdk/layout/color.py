"""Colors with names, whose values the compiler chooses."""

from __future__ import annotations

import operator

from .source import fail, here

MAX_COLOR = 23


class Color:
    """A color. Colors of one global name are one color; a value that is not given is chosen by `SdkLayout.compile`."""

    def __init__(self, name: str, value: int | None = None, *, _region: str | None = None):
        if not isinstance(name, str) or not name:
            fail("MS0954", f"a color's name is a string, found {name!r}")
        if value is not None:
            try:
                value = operator.index(value)
            except TypeError:
                fail("MS0954", f"the value of color {name!r} is an integer, found {value!r}")
            if not 0 <= value <= MAX_COLOR:
                fail("MS0954", f"color {name!r} cannot have the value {value}: colors are 0 to {MAX_COLOR}")
        self._name, self._value, self._region = name, value, _region
        self._resolved: int | None = None
        self.span = here()

    def get_global_name(self) -> str:
        """The name, behind that of its code region if it has one."""
        return f"{self._region}_{self._name}" if self._region is not None else self._name

    def get_local_param_name(self) -> str:
        """Its name as a param of the region's code."""
        return self._name

    def get_value(self) -> int | None:
        """The value: the one given, else None before `SdkLayout.compile` and the chosen one after it."""
        return self._value if self._value is not None else self._resolved

    def __repr__(self) -> str:
        return f"Color({self.get_global_name()!r}{'' if self.get_value() is None else f', {self.get_value()}'})"
