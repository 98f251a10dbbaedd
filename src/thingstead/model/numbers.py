"""Numbers and durations as people read them (objects.md 12, 21). Pure.

Promises: rounding goes by decimal digits as they are written, half away from zero; no locale but the one described.
"""

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

_LETTERS: Final = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K"))
_SECOND: Final = 1000
_UNITS: Final = (
    (365 * 86_400 * _SECOND, "y"),
    (30 * 86_400 * _SECOND, "n"),
    (86_400 * _SECOND, "d"),
    (3600 * _SECOND, "h"),
    (60 * _SECOND, "m"),
    (_SECOND, "s"),
    (1, "ms"),
)


def time_ago(delta: int) -> str:
    """A duration in ms as its largest whole unit; the sign is dropped, 0 is "".

    Units: `y` (365 days), `n` (30 days), `d`, `h`, `m`, `s`, `ms`.

    >>> time_ago(15_000), time_ago(-59_999), time_ago(0)
    ('15s', '59s', '')
    """
    delta = abs(delta)
    return next((f"{delta // size}{unit}" for size, unit in _UNITS if delta >= size), "")


def exact_time(delta: int) -> str:
    """A duration in ms with all its units; the sign is dropped, 0 is "".

    >>> exact_time(56_700_000), exact_time(1_001)
    ('15 h 45 m', '1 s 1 ms')
    """
    delta = abs(delta)
    parts: list[str] = []
    for size, unit in _UNITS:
        count, delta = divmod(delta, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts)


def round_half_up(value: float, places: int = 0) -> float:
    """Rounded to `places` decimals, half away from zero.

    >>> round_half_up(2.5), round_half_up(2.675, 2), round_half_up(-0.5)
    (3.0, 2.68, -1.0)
    """
    return float(_rounded(value, places))


def _rounded(value: float, places: int) -> Decimal:
    return Decimal(repr(value)).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def abbreviate_number(value: int, places: int = 0) -> str:
    """A number with `K`, `M`, `B` or `T`, cut to at most `places` decimals.

    >>> abbreviate_number(10_000), abbreviate_number(1_234_567, 1), abbreviate_number(999)
    ('10K', '1.2M', '999')
    """
    for size, letter in _LETTERS:
        if abs(value) >= size:
            short = (Decimal(value) / size).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
            text = f"{short:f}"
            return (text.rstrip("0").rstrip(".") if "." in text else text) + letter
    return str(value)


def format_number(value: float, places: int = 3) -> str:
    """With thousands separators and at most `places` decimals.

    >>> format_number(1234567.5), format_number(2.0)
    ('1,234,567.5', '2')
    """
    text = f"{_rounded(value, places):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_price(value: float) -> str:
    """With two decimals and no separators.

    >>> format_price(10), format_price(1.005)
    ('10.00', '1.01')
    """
    return f"{_rounded(value, 2):f}"
