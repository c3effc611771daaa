"""Marks of who is at work on a release."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from runbook import holder

PRINT = "from runbook import holder; print(holder.mine())"


def test_mark_fits_a_label() -> None:
    assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", holder.mine())


def test_this_process_is_not_gone() -> None:
    assert not holder.is_gone(holder.mine())


def test_an_ended_process_of_this_machine_is_gone() -> None:
    done = subprocess.run([sys.executable, "-c", PRINT], capture_output=True, text=True, check=True)
    assert holder.is_gone(done.stdout.strip())


def test_a_reused_process_id_is_told_apart() -> None:
    machine, pid, _ = holder.mine().split(".")
    assert holder.is_gone(f"{machine}.{pid}.00000000-1")


def test_other_machines_and_nonsense_are_never_gone() -> None:
    _, pid, started = holder.mine().split(".")
    assert not holder.is_gone(f"0123456789ab.{pid}.{started}")
    for mark in ("", "x", "a.b.c", "a.1"):
        assert not holder.is_gone(mark)


def test_a_dead_process_that_nobody_collected_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", PRINT], stdout=subprocess.PIPE) as process:
        mark = process.stdout.read().decode().strip()  # to the end: it has exited or is about to
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, yet not collected
        assert holder.is_gone(mark)
