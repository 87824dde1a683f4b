"""What is asked of a cluster: requests with arrival times, lengths and models.

Lengths and gaps between arrivals come from a trace in the form of the public Azure LLM inference traces (CSV with TIMESTAMP,
ContextTokens, GeneratedTokens), or are drawn. Which model a request wants is drawn by Zipf's law: the k-th most wanted of M has
the share k^-s / sum of all.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from meshlang.diag import Diagnostic, MeshlangError

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(\.\d+)?(?:Z|[+-]\d\d:?\d\d)?")


@dataclass(frozen=True)
class Workload:
    """Arrays of one length: arrival [s, sorted, from 0], model, context and generated [tokens]."""

    arrival: np.ndarray
    model: np.ndarray
    context: np.ndarray
    generated: np.ndarray

    def __len__(self) -> int:
        return len(self.arrival)


@dataclass(frozen=True)
class Trace:
    """time [s, sorted, from 0], context, generated: one entry a request."""

    time: np.ndarray
    context: np.ndarray
    generated: np.ndarray


def read_trace(path: str | Path) -> Trace:
    """MS0901 if it cannot be read, MS1681 with the line for one that is none."""
    times, context, generated = [], [], []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            header = [c.strip() for c in next(reader, [])]
            if sorted(header) != sorted(COLUMNS):
                raise _bad(path, 1, f"the columns are {', '.join(header) or 'none'}, not {', '.join(COLUMNS)}")
            at = [header.index(c) for c in COLUMNS]
            for row in reader:
                if not row:
                    continue
                try:
                    when, a, b = (row[i].strip() for i in at)
                    found = _TIME.fullmatch(when)
                    if not found:
                        raise ValueError
                    times.append(datetime.fromisoformat(found[1]).timestamp() + float(found[2] or 0))
                    context.append(int(a))
                    generated.append(int(b))
                    if context[-1] < 1 or generated[-1] < 1:
                        raise ValueError
                except (ValueError, IndexError):
                    text = ",".join(row)
                    raise _bad(path, reader.line_num, f"{text!r} is no time and two numbers of tokens") from None
    except OSError as error:
        raise MeshlangError(
            Diagnostic("MS0901", f"cannot read {path}: {(error.strerror or str(error)).lower()}")
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise _bad(path, 1, str(error)) from None
    if len(times) < 2:
        raise _bad(path, 1, f"it has {len(times)} requests, and two are the least with a gap between them")
    order = np.argsort(times, kind="stable")
    time = np.asarray(times)[order]
    if time[-1] == time[0]:
        raise _bad(path, 1, "all requests have the same time")
    return Trace(time - time[0], np.asarray(context)[order], np.asarray(generated)[order])


def _bad(path: str | Path, line: int, why: str) -> MeshlangError:
    return MeshlangError(
        Diagnostic(
            "MS1681", f"{path}, line {line}: {why}", help="a trace is CSV: TIMESTAMP,ContextTokens,GeneratedTokens"
        )
    )


def drawn_trace(count: int, seed: int = 0, burstiness: float = 3.0) -> Trace:
    """Without a file. Gaps are gamma-distributed with that coefficient of variation (1: Poisson); lengths are log-normal, with medians
    of 1000 and 150 tokens, about those of the published conversations."""
    random = np.random.default_rng(seed)
    shape = burstiness**-2
    gaps = random.gamma(shape, 1 / shape, count)
    context = np.clip(random.lognormal(np.log(1000), 0.9, count), 1, None).astype(int)
    generated = np.clip(random.lognormal(np.log(150), 0.8, count), 1, None).astype(int)
    return Trace(np.cumsum(gaps) - gaps[0], context, generated)


def workload(trace: Trace, count: int, rate: float, models: int, zipf: float, longest: int, seed: int = 0) -> Workload:
    """`count` requests at `rate` a second on the average. The trace's times are stretched to that; where it is too short it
    begins again. longest: tokens that prompt and answer may have; longer ones are cut."""
    rounds = -(-count // len(trace.time))
    span = trace.time[-1] + trace.time[-1] / (len(trace.time) - 1)  # a gap before it begins again
    time = np.concatenate([trace.time + k * span for k in range(rounds)])[:count]
    time = time * ((count - 1) / rate / time[-1]) if count > 1 and time[-1] > 0 else time
    context = np.minimum(np.tile(trace.context, rounds)[:count], longest - 1)
    generated = np.minimum(np.tile(trace.generated, rounds)[:count], longest - context)
    share = np.arange(1, models + 1, dtype=float) ** -zipf
    random = np.random.default_rng([seed, 1])
    return Workload(time, random.choice(models, count, p=share / share.sum()), context, generated)
