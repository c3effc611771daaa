# ruff: noqa: PLC0415 - the command line must be quick; most commands need no cluster
"""A rehearsal cluster for the length of one run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from runbook.forsaken import forsaken, prefix

if TYPE_CHECKING:
    from runbook.params import Params

__all__ = ["rehearsal_cluster"]

_VARIABLE = "RUNBOOK_REHEARSAL_DIR"
_NEWEST = (1, 35)  # newest Kubernetes that a release line documents


@contextmanager
def rehearsal_cluster(params: Params) -> Iterator[bool]:
    """Have a rehearsal cluster running, when that is what the parameters name.

    One that is up already is used and left as it is. Otherwise one is started in a temporary
    directory, with a Kubernetes that the release line runs on, and ended afterwards. Those of runs
    that were killed are ended first.

    Yields:
        Whether one was started.
    """
    from runbook import rehearsal

    if params.cluster != "rehearsal" or params.kubeconfig or rehearsal.active():
        yield False
        return
    _end_forsaken()
    before = os.environ.get(_VARIABLE)
    with tempfile.TemporaryDirectory(prefix=prefix("rehearsal")) as directory:
        os.environ[_VARIABLE] = directory  # the notebooks' kernels look there
        try:
            rehearsal.up(Path(directory), kubernetes_version=_kubernetes_for(params.line))
            yield True
        finally:
            rehearsal.down(Path(directory))
            os.environ.pop(_VARIABLE)
            if before is not None:
                os.environ[_VARIABLE] = before


def _kubernetes_for(name: str) -> str:
    """Give the newest Kubernetes version that runs a release line."""
    from runbook import releases

    line = releases.find(name)
    if line.runs_on(_NEWEST) or line.kube_stop is None:
        return f"{_NEWEST[0]}.{_NEWEST[1]}"
    return f"{line.kube_stop[0]}.{line.kube_stop[1] - 1}"


def _end_forsaken() -> None:
    """End temporary clusters whose run is gone: it was killed and could not."""
    from runbook import rehearsal

    for directory in forsaken("rehearsal"):
        rehearsal.down(directory)
        shutil.rmtree(directory, ignore_errors=True)
