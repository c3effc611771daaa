"""What nothing that is kept may hold: secrets, and paths of this machine."""

# ruff: noqa: PLC0415 - only what is asked for may load the cluster's client
from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook.errors import RunbookError
from runbook.secrets import Redactor, resolve_all

if TYPE_CHECKING:
    from runbook.cluster import Cluster
    from runbook.params import Params

__all__ = ["Scrub", "for_notebook", "for_run", "local_paths", "places", "scrubber"]

Scrub = Callable[[Any], Any]
"""Takes secrets and paths of this machine out of any JSON value; gives a copy."""


def for_run(params: Params, cluster: Cluster) -> Scrub:
    """Give what to scrub a run with: it knows every value the parameters refer to.

    Raises:
        ParameterError: A reference leads nowhere.
    """
    from runbook.kubeconfig import credentials
    from runbook.linkerd.material import secret_reader

    _, known = resolve_all(params.values, read_secret=secret_reader(cluster))
    redactor = Redactor([*known, *credentials(params.cluster, params.kubeconfig)])
    return scrubber(redactor.data, places() | local_paths(params))


def for_notebook(given: Mapping[str, Any]) -> Scrub:
    """Give what to scrub one notebook with that is run by itself.

    Args:
        given: Its parameters, as papermill has them. When they are wrong, the notebook itself
            says so; then what looks like a secret is replaced, and nothing is known to be one.
    """
    from runbook.cluster import connect
    from runbook.params import Params

    try:
        params = Params.parse(given)
        return for_run(params, connect(params))
    except RunbookError:
        return scrubber(Redactor().data, places())


def local_paths(params: Params) -> dict[str, str]:
    """Give the paths of this machine among the parameters, and what to write instead."""
    named = {name: getattr(params, name) for name in ("kubeconfig", "chart_source")}
    return {path: f"<{name}>" for name, path in named.items() if Path(path).is_absolute()}


def scrubber(redact: Callable[[Any], Any], places: Mapping[str, str]) -> Callable[[Any], Any]:
    """Give a function that takes secrets and paths of this machine out of any JSON value.

    Args:
        redact: Removes secrets from a JSON value.
        places: Directories and the names to write instead, such as ``{"/home/pi": "~"}``.
    """
    ordered = sorted((p for p in places if len(p) > 1), key=len, reverse=True)
    if not ordered:
        return redact
    pattern = re.compile(rf"(?:{'|'.join(map(re.escape, ordered))})(?![\w.-])")

    def scrub(value: Any) -> Any:
        if isinstance(value, str):
            return pattern.sub(lambda found: places[found[0]], value)
        if isinstance(value, Mapping):
            return {scrub(key): scrub(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [scrub(item) for item in value]
        return value

    return lambda value: scrub(redact(value))


def places() -> dict[str, str]:
    """Give the directories of this machine that must not show in a record, and their names."""
    root = str(Path(__file__).resolve().parent.parent)
    found = {root: ".", sys.prefix: "<python>", sys.base_prefix: "<python>", str(Path.home()): "~"}
    if rehearsal := os.environ.get("RUNBOOK_REHEARSAL_DIR"):
        found[rehearsal.rstrip("/")] = "<rehearsal>"
    return found
