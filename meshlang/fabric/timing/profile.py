"""Loading and checking of timing profiles."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ...diag import Diagnostic, MeshlangError

EVIDENCE = ("documented", "measured", "third-party", "fitted", "guess")
ACCURACY = "machine.accuracy"
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Number:
    """One value of a profile."""

    value: Any
    source: str
    evidence: str


@dataclass(frozen=True)
class Profile:
    """A profile; `numbers` maps dotted names ("fabric.hop") to values with their evidence."""

    name: str
    numbers: dict[str, Number]

    def __getitem__(self, name: str) -> Any:
        if name not in self.numbers:
            raise MeshlangError(
                Diagnostic(
                    "MS0840",
                    f"profile {self.name}: there is no number {name}",
                    help="a profile has all numbers of those that come with MeshLang (meshlang/fabric/timing)",
                )
            )
        return self.numbers[name].value

    @property
    def accuracy(self) -> str:
        """How far cycles can be trusted, "CLASS: what that says" (docs/timing.md)."""
        return str(self.get(ACCURACY, "unknown: not compared with published cycles"))

    def get(self, name: str, default: Any = None) -> Any:
        number = self.numbers.get(name)
        return default if number is None else number.value


def _collect(table: dict, prefix: str, into: dict[str, Number], path: str) -> None:
    for key, entry in table.items():
        name = f"{prefix}{key}"
        if isinstance(entry, dict) and "value" not in entry:
            _collect(entry, f"{name}.", into, path)
            continue
        if (
            not isinstance(entry, dict)
            or not str(entry.get("source", "")).strip()
            or entry.get("evidence") not in EVIDENCE
        ):
            raise MeshlangError(
                Diagnostic(
                    "MS0840",
                    f"{path}: {name} needs a value, a source, and evidence of {', '.join(EVIDENCE)}",
                    help="every number of a timing profile has to say where it comes from",
                )
            )
        into[name] = Number(entry["value"], entry["source"], entry["evidence"])


def profile_names() -> list[str]:
    """Profiles that come with MeshLang."""
    return sorted(p.stem for p in _HERE.glob("*.toml"))


@cache
def engine_numbers() -> tuple[str, ...]:
    """The numbers that the engine can read while it runs: all that are whole in every profile that comes with MeshLang,
    but for those of subtables, which are about one operation each."""
    profiles = [load_profile(name) for name in profile_names()]
    names = [name for name in profiles[0].numbers if name.count(".") == 1]
    return tuple(name for name in names if all(type(p.get(name)) is int for p in profiles))


def load_profile(name: str) -> Profile:
    """A profile by name, or by path of a .toml file. One that is `based_on` another has its numbers, but for those it gives."""
    path = Path(name) if name.endswith(".toml") else _HERE / f"{name}.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MeshlangError(
            Diagnostic(
                "MS0841",
                f"there is no timing profile {name!r}",
                help=f"profiles: {', '.join(profile_names())}; or the path of a .toml file",
            )
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MeshlangError(Diagnostic("MS0840", f"{path}: {error}")) from None
    except OSError as error:
        raise MeshlangError(Diagnostic("MS0840", f"{path}: {(error.strerror or str(error)).lower()}")) from None
    base = data.pop("based_on", None)
    numbers: dict[str, Number] = dict(load_profile(base).numbers) if base else {}
    numbers.pop(ACCURACY, None)  # each profile is judged by itself
    _collect(data, "", numbers, str(path))
    return Profile(path.stem, numbers)
