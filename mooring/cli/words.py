"""Pure. Words of what commands print: a number and a noun in, `1 host` or `2 hosts` out."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
