"""Doing something inside another network namespace, in a thread of its own."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from threading import Thread
from typing import TypeVar

_CLONE_NEWNET = 0x40000000

T = TypeVar("T")


def inside(namespace: int, function: Callable[[], T]) -> T:
    """Run it in a thread that has entered the namespace of an open file; its result or error.

    Raises:
        OSError: the namespace cannot be entered.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    results: list[T] = []
    errors: list[BaseException] = []

    def enter() -> None:
        try:
            if libc.setns(namespace, _CLONE_NEWNET):
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))
            results.append(function())
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    # The thread's place ends with it, so that nobody else finds himself there.
    thread = Thread(target=enter, name="in-namespace")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
