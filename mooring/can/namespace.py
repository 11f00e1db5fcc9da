"""Doing something inside another network namespace, in a thread of its own."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_CLONE_NEWNET = 0x40000000

T = TypeVar("T")


def inside(namespace: int, function: Callable[[], T]) -> T:
    """Run it in a thread that has entered the namespace of an open file; its result or error.

    Raises:
        OSError: the namespace cannot be entered.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def enter() -> T:
        if libc.setns(namespace, _CLONE_NEWNET):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return function()

    # The thread's place ends with it, so that nobody else finds himself there.
    with ThreadPoolExecutor(1, "in-namespace") as thread:
        return thread.submit(enter).result()
