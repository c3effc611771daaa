"""The object a notebook talks to: look, plan, apply, wait, verify, finish."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runbook import show
from runbook.checks import Check, Verdicts
from runbook.cluster import Cluster
from runbook.helm import Helm
from runbook.plan import Plan, Release

if TYPE_CHECKING:
    from runbook.params import Params
    from runbook.releases import Line

__all__ = ["Step", "open_step"]


class Step:
    notebook: str
    params: Params
    line: Line
    cluster: Cluster
    helm: Helm
    mode: str

    def look(self, *checks: Check, title: str = "Preconditions") -> Verdicts: ...
    def plan(self, *wanted: Mapping[str, Any] | Release) -> Plan: ...
    def apply(self, plan: Plan) -> None: ...
    def wait(self, *awaited: Mapping[str, Any] | Release | Plan, timeout: float | None = None) -> None: ...
    def verify(self, *checks: Check, title: str = "Verification") -> Verdicts: ...
    def finish(self) -> None: ...


def open_step(
    notebook: str, given: Mapping[str, Any], *, display: show.Display = show.display
) -> Step: ...
