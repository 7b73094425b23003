"""Numbers as PostgreSQL writes them: floats with the fewest digits that read back the same, numerics digit by digit.

Source: float.c and d2s.c (Ryu's output), numeric.c (numeric_send, apply_typmod).
"""

from __future__ import annotations

import math
import struct
from decimal import Decimal
from typing import Final

__all__ = ["decode_numeric", "encode_numeric", "fit_decimal", "write_float", "write_float4"]

_FLOAT4: Final = struct.Struct("!f")
_UINT4: Final = struct.Struct("!I")
_HEAD: Final = struct.Struct("!HhHH")
_NEGATIVE, _NAN, _INFINITY, _MINUS_INFINITY = 0x4000, 0xC000, 0xD000, 0xF000
_SPECIAL: Final = {_NAN: Decimal("NaN"), _INFINITY: Decimal("Infinity"), _MINUS_INFINITY: Decimal("-Infinity")}


def write_float(value: float, extra_digits: int = 1) -> str:
    """A float8."""
    if extra_digits > 0 and abs(value) >= 2.0**53 and math.isfinite(value):
        above, below = math.nextafter(value, math.copysign(math.inf, value)), math.nextafter(value, 0)
        return _write(value, _inside(value, repr(value), above, below, 17), 15, extra_digits)
    return _write(
        value, repr(value) if extra_digits > 0 else f"{value:.{max(15 + extra_digits, 1)}g}", 15, extra_digits
    )


def write_float4(value: float, extra_digits: int = 1) -> str:
    """A float4, given as the float that it stands for."""
    if extra_digits <= 0 or not math.isfinite(value):
        return _write(value, f"{value:.{max(6 + extra_digits, 1)}g}", 6, extra_digits)
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        try:
            if _FLOAT4.unpack(_FLOAT4.pack(float(text)))[0] == value:
                break
        except OverflowError:  # rounded up beyond the largest
            continue
    if abs(value) >= 2.0**24:
        (bits,) = _UINT4.unpack(_FLOAT4.pack(value))
        below = _FLOAT4.unpack(_UINT4.pack(bits - 1))[0]
        above = _FLOAT4.unpack(_UINT4.pack(bits + 1))[0]
        text = _inside(value, text, above if math.isfinite(above) else 2 * value - below, below, 9)
    return _write(value, text, 6, extra_digits)


def _inside(value: float, text: str, above: float, below: float, most: int) -> str:
    """The digits, or some more where they are exactly half-way to a neighbour.

    They would be read back as the value, since ties go to the even one; but PostgreSQL does not count on that.
    """
    exact = int(value)
    limits = {exact + int(above), exact + int(below)} if math.isfinite(above) else {exact + int(below)}
    digits = len(text.lstrip("-").partition("e")[0].replace(".", "").strip("0"))
    while int(Decimal(text)) * 2 in limits and digits < most:
        digits += 1
        text = f"{value:.{digits}g}"
    return text


def _write(value: float, digits: str, fixed: int, extra_digits: int) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if extra_digits <= 0:
        return digits  # printf's %g
    sign, figures, exponent = Decimal(digits).as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, figures)).rstrip("0") or "0"
    exponent += len(figures) - 1 if value else -exponent
    minus = "-" if sign else ""
    # As %g with this many digits would choose, for Ryu's output is made to look like it.
    if -5 < exponent < fixed:
        if exponent < 0:
            return f"{minus}0.{'0' * (-exponent - 1)}{text}"
        whole, fraction = text[: exponent + 1].ljust(exponent + 1, "0"), text[exponent + 1 :]
        return f"{minus}{whole}{'.' + fraction if fraction else ''}"
    fraction = "." + text[1:] if len(text) > 1 else ""
    return f"{minus}{text[0]}{fraction}e{'-' if exponent < 0 else '+'}{abs(exponent):02}"


def fit_decimal(value: Decimal, modifier: int) -> Decimal:
    """The value with the scale that the type gives it. Raises ValueError where it does not fit without rounding."""
    if not value.is_finite():
        if value.is_snan():
            raise ValueError("a signaling NaN can't be a numeric")
        return Decimal("NaN") if value.is_nan() else value
    if value.is_zero():
        value = value.copy_abs()  # numeric has no negative zero
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    if exponent > 0:
        value, exponent = _at_scale(value, 0), 0
    if modifier >= 0:
        precision, scale = (modifier - 4) >> 16, (modifier - 4) & 0x7FF
        name = f"numeric({precision},{scale})"
        fitted = _at_scale(value, scale)
        if fitted != value:
            raise ValueError(f"a number with {-exponent} decimal places is too fine for {name}")
        if abs(fitted) >= Decimal(10) ** (precision - scale):
            raise ValueError(f"this is out of the range of {name}")
        value, exponent = fitted, -scale
    if -exponent > 16383 or value.adjusted() >= 131072:
        raise ValueError("this is out of the range of numeric")
    return value


def _at_scale(value: Decimal, scale: int) -> Decimal:
    """The value with so many decimal places; another value where it has more. Free of the context's precision."""
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    if exponent + scale > 200_000:
        raise ValueError("this is out of the range of numeric")
    if exponent >= -scale:
        return Decimal((sign, digits + (0,) * (exponent + scale), -scale))
    return Decimal((sign, digits[: exponent + scale] or (0,), -scale))


def encode_numeric(value: Decimal) -> bytes:
    """A numeric in binary: base 10,000, most significant digit first."""
    if value.is_nan():
        return _HEAD.pack(0, 0, _NAN, 0)
    if value.is_infinite():
        return _HEAD.pack(0, 0, _INFINITY if value > 0 else _MINUS_INFINITY, 0x20)
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int) and exponent <= 0
    scale = -exponent
    text = "".join(map(str, digits)).rjust(scale, "0")
    whole, fraction = text[: len(text) - scale].lstrip("0"), text[len(text) - scale :]
    whole = whole.rjust(-(-len(whole) // 4) * 4, "0")
    fraction = fraction.ljust(-(-len(fraction) // 4) * 4, "0")
    groups = [int(part) for part in _fours(whole + fraction)]
    weight = len(whole) // 4 - 1
    while groups and not groups[-1]:
        groups.pop()
    while groups and not groups[0]:
        groups.pop(0)
        weight -= 1
    if not groups:
        weight = 0
    return _HEAD.pack(len(groups), weight, _NEGATIVE if sign and groups else 0, scale) + struct.pack(
        f"!{len(groups)}H", *groups
    )


def _fours(text: str) -> list[str]:
    return [text[start : start + 4] for start in range(0, len(text), 4)]


def decode_numeric(data: bytes) -> Decimal:
    """A numeric from binary. Raises ValueError, struct.error."""
    count, weight, sign, scale = _HEAD.unpack_from(data)
    if sign in _SPECIAL:
        return _SPECIAL[sign]
    groups = struct.unpack_from(f"!{count}H", data, _HEAD.size)
    if sign not in (0, _NEGATIVE) or any(group > 9999 for group in groups):
        raise ValueError("no numeric")
    text = "".join(f"{group:04}" for group in groups) or "0"
    exponent = (weight + 1 - count) * 4 if count else 0
    value = Decimal((1 if sign else 0, tuple(map(int, text)), exponent))
    return _at_scale(value, scale)
