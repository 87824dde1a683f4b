"""A radar picture as SVG: one polygon for each of several things that are compared, on axes from 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

SIZE, RADIUS = 640, 200
COLORS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#d68910", "#555555")


def radar(axes: Sequence[str], series: Sequence[tuple[str, Sequence[float]]], title: str) -> str:
    """The picture. series: a name and a value from 0 to 1 for each axis; values outside are cut. At least 3 axes."""
    middle = SIZE / 2

    def point(i: int, value: float) -> tuple[float, float]:
        angle = 2 * math.pi * i / len(axes) - math.pi / 2
        return middle + RADIUS * value * math.cos(angle), middle + RADIUS * value * math.sin(angle)

    def polygon(values: Sequence[float], style: str) -> str:
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in (point(i, v) for i, v in enumerate(values)))
        return f'<polygon points="{corners}" {style}/>'

    height = SIZE + 24 * len(series)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {height}" font-family="sans-serif" font-size="14">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{SIZE}" height="{height}" fill="white"/>',
        f'<text x="{middle}" y="28" text-anchor="middle" font-size="17">{escape(title)}</text>',
    ]
    for ring in (0.25, 0.5, 0.75, 1.0):
        out.append(polygon([ring] * len(axes), 'fill="none" stroke="#cccccc"'))
        x, y = point(0, ring)
        out.append(f'<text x="{x + 4:.1f}" y="{y - 3:.1f}" fill="#999999" font-size="11">{ring:g}</text>')
    for i, name in enumerate(axes):
        x, y = point(i, 1.0)
        out.append(f'<line x1="{middle}" y1="{middle}" x2="{x:.1f}" y2="{y:.1f}" stroke="#cccccc"/>')
        x, y = point(i, 1.12)
        anchor = "middle" if abs(x - middle) < 20 else "start" if x > middle else "end"
        out.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(name)}</text>')
    for i, (name, values) in enumerate(series):
        color = COLORS[i % len(COLORS)]
        cut = [min(max(v, 0.0), 1.0) for v in values]
        out.append(polygon(cut, f'fill="{color}" fill-opacity="0.15" stroke="{color}" stroke-width="2"'))
        y = SIZE - 20 + 24 * i
        out.append(f'<rect x="40" y="{y - 11}" width="12" height="12" fill="{color}"/>')
        shown = ", ".join(f"{v:.3g}" for v in values)
        out.append(f'<text x="60" y="{y}">{escape(name)}: {shown}</text>')
    return "\n".join([*out, "</svg>", ""])
