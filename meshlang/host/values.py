"""Option values: NAME=VALUE pairs, the vendor's NAME:VALUE lists, W,H pairs."""

from __future__ import annotations

from meshlang.diag import usage_error

Value = int | float | str


def number_or_text(text: str) -> Value:
    """`8`, `0x10`, `1_000` -> int; `0.5` -> float; `true`/`false` -> 1/0; anything else stays text."""
    lowered = text.strip().lower()
    if lowered in ("true", "false"):
        return int(lowered == "true")
    try:
        return int(text, 0)
    except ValueError:
        pass
    try:
        return int(text)  # "007": decimal with leading zeros
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def name_values(items: list[str] | None, option: str = "-p") -> dict[str, str]:
    """['P=8', 'Mt=4'] -> {'P': '8', 'Mt': '4'}; the last of a repeated name counts."""
    out: dict[str, str] = {}
    for item in items or ():
        name, eq, value = item.partition("=")
        if not eq or not name.strip().isidentifier():
            raise usage_error(f"{option} {item}: expected NAME=VALUE", help=f"write for example {option} P=8")
        out[name.strip()] = value.strip()
    return out


def vendor_pairs(items: list[str] | None, option: str) -> dict[str, int]:
    """['P:8,Mt:4', 'N:6'] -> {'P': 8, 'Mt': 4, 'N': 6}: the vendor's --params and --colors, repeatable."""
    out: dict[str, int] = {}
    for item in items or ():
        for pair in filter(None, (p.strip() for p in item.split(","))):
            name, colon, value = pair.partition(":")
            if not colon or not name.strip().isidentifier():
                raise usage_error(f"{option}: {pair!r} is not NAME:VALUE", help=f"write for example {option}=P:8,Mt:4")
            try:
                number = int(value.strip(), 0)
            except ValueError:
                try:
                    number = int(value.strip())
                except ValueError:
                    raise usage_error(
                        f"{option}: the value of {name.strip()}, {value.strip()!r}, is not an integer"
                    ) from None
            if number < 0:
                raise usage_error(
                    f"{option}: the value of {name.strip()}, {number}, is negative; cslc takes unsigned integers"
                )
            out[name.strip()] = number
    return out


def int_pair(text: str | None, option: str) -> tuple[int, int] | None:
    """'8,3' -> (8, 3)."""
    if text is None:
        return None
    parts = text.split(",")
    try:
        a, b = (int(p) for p in parts)
    except ValueError:
        raise usage_error(f"{option}: expected two integers such as 8,3, got {text!r}") from None
    if a < 0 or b < 0:
        raise usage_error(f"{option}: {text} has a negative number")
    return a, b
