"""Become a program that ends when its parent does: ``hold.py PARENT PROGRAM [ARGUMENT...]``.

The kernel keeps the promise over ``exec``, so the process is the program itself: its id, its CPU
time and its memory. Linux only; elsewhere the program outlives a parent that was killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != int(sys.argv[1]):  # it ended before the promise was made
        sys.exit(1)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and exec would pass that on
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - a shell has no place here
