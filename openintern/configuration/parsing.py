"""What a value must look like. Each parser's docstring ends the sentence "PORT is not …"."""

from __future__ import annotations

from decimal import Decimal
from urllib.parse import urlsplit


def text(value: object) -> str:
    """text"""
    if not isinstance(value, str):
        raise TypeError
    return value.strip()


def texts(value: object) -> tuple[str, ...]:
    """a list of texts (in the environment: separated by commas)"""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list):
        raise TypeError
    return tuple(word for item in items if (word := text(item)))


def url(value: object) -> str:
    """an http(s) address"""
    address = text(value).rstrip("/")
    if address and (urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).hostname):
        raise ValueError
    return address


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError
    return int(value)


def count(value: object) -> int:
    """a whole number of at least 1"""
    number = _whole(value)
    if number < 1:
        raise ValueError
    return number


def from_zero(value: object) -> int:
    """a whole number of at least 0"""
    number = _whole(value)
    if number < 0:
        raise ValueError
    return number


def limits(value: object) -> dict[str, int]:
    """a number of runs by model (in the environment: MODEL=NUMBER, separated by commas)"""
    items = dict(item.rsplit("=", 1) for item in texts(value)) if isinstance(value, str) else value
    if not isinstance(items, dict):
        raise TypeError
    return {text(model).strip(): count(limit) for model, limit in items.items()}


def port(value: object) -> int:
    """a port (1 to 65535)"""
    number = _whole(value)
    if not 1 <= number <= 65535:
        raise ValueError
    return number


def temperature(value: object) -> float:
    """a number from 0 to 2"""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    number = float(value)
    if not 0 <= number <= 2:
        raise ValueError
    return number


def amount(value: object) -> Decimal | None:
    """an amount of US dollars above 0"""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    dollars = Decimal(str(value))
    if not dollars.is_finite() or dollars <= 0:
        raise ValueError
    return dollars


def truth(value: object) -> bool:
    """true or false"""
    if isinstance(value, bool):
        return value
    match text(value).lower():
        case "true" | "1" | "yes" | "on":
            return True
        case "false" | "0" | "no" | "off":
            return False
    raise ValueError
