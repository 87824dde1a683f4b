"""The generated parts of docs/timing.md.

`python tests/timing/page.py --measure` runs all rows it has programs for (rows.py says which checkouts it needs), keeps what
they gave in measured.csv, and writes the page anew; --source, --profile and --what choose fewer, the others stay as they
were. Without --measure it only writes the page. test_page.py compares.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import micro
from rows import SOURCES, Row, measure, summary

HERE = Path(__file__).parent
MEASURED = HERE / "measured.csv"
PAGE = HERE.parents[1] / "docs" / "timing.md"


def measured() -> list[Row]:
    """The rows as they were last measured, in the order of rows.py."""
    with MEASURED.open() as file:
        return [
            Row(r["source"], r["profile"], r["what"], float(r["published"]), float(r["model"]))
            for r in csv.DictReader(file)
        ]


def keep(rows: list[Row]) -> None:
    """Replace these rows among the measured ones."""
    known = {(r.source, r.profile, r.what): r for r in (measured() if MEASURED.is_file() else [])}
    known |= {(r.source, r.profile, r.what): r for r in rows}
    order = {s.name: i for i, s in enumerate(SOURCES)}
    with MEASURED.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["source", "profile", "what", "published", "model"])
        for r in sorted(known.values(), key=lambda r: (order[r.source], r.profile)):
            writer.writerow([r.source, r.profile, r.what, f"{r.published:g}", f"{r.model:g}"])


def tables(rows: list[Row]) -> str:
    """A table for each source: published, and the model under each of its profiles."""
    parts = []
    for source in SOURCES:
        own = [r for r in rows if r.source == source.name]
        if not own:
            continue
        profiles = [p for p in source.profiles if any(r.profile == p for r in own)]
        parts.append(f"### {source.name}\n\n{source.origin[0].upper() + source.origin[1:]}.\n")
        lines = [
            "| what | published | " + " | ".join(f"{p} | difference" for p in profiles) + " |",
            "|---|---:|" + "---:|---:|" * len(profiles),
        ]
        for what in dict.fromkeys(r.what for r in own):
            by_profile = {r.profile: r for r in own if r.what == what}
            cells = [f"{r.published:.0f}" for r in list(by_profile.values())[:1]]
            for p in profiles:
                found = by_profile.get(p)
                cells += [f"{found.model:.0f}", f"{found.percent:+.1f} %"] if found else ["", ""]
            lines.append(f"| {what} | " + " | ".join(cells) + " |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def parts() -> dict[str, str]:
    rows = measured()
    return {"summary": summary(rows), "rows": tables(rows), "terms": micro.table()}


def written(text: str, generated: dict[str, str]) -> str:
    """The page with its generated parts."""
    for name, part in generated.items():
        begin, end = f"<!-- {name}: written by tests/timing/page.py -->\n", f"<!-- end of {name} -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{part}\n{end}{rest.split(end)[1]}"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--profile")
    parser.add_argument("--source", default="")
    parser.add_argument("--what", default="")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if args.measure:
        keep(list(measure(args.profile, args.source, args.what, args.quick)))
    PAGE.write_text(written(PAGE.read_text(), parts()))


if __name__ == "__main__":
    main()
