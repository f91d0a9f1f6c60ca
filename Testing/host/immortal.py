"""Keeps Python 3.11 alive under PySide6 builds that take None, True and False for immortal.

Measured with PySide6 6.12 on CPython 3.11: a call that returns nothing, and a toggled button, each lower the reference
count of None or a bool by one, until the interpreter aborts. Since Python 3.12 these objects have no count.
"""

from __future__ import annotations

import ctypes
import sys

_RESERVE = 1 << 40


def protectSingletons() -> None:
    """Gives the singletons a reserve of references that no test can use up."""
    if sys.version_info >= (3, 12) or sys.implementation.name != "cpython":
        return
    singletons = (None, True, False, Ellipsis, NotImplemented, (), "", b"", *range(-5, 257))
    for singleton in singletons:
        # The count is the first field of every object in CPython.
        count = ctypes.c_ssize_t.from_address(id(singleton))
        if count.value < _RESERVE:
            count.value += _RESERVE
