"""Notebook 40 on a rehearsal cluster: complete, meshed, taken back; and what goes wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from conftest import Kept
from mesh_place import carry, found, install_linkerd, opened, undo, until

from runbook import meshing
from runbook.errors import CheckError
from runbook.meshing.annotate import annotate
from runbook.meshing.forecast import Forecast
from runbook.meshing.longhorn import manager_version
from runbook.meshing.service import named
from runbook.rehearsal import Twin, mesh_mishaps
from runbook.rehearsal.client import Client
from runbook.rehearsal.controllers import kinds

LINE = "edge-2.19"  # with classic sidecars
SPACE = "longhorn-system"
BOOK = "40-longhorn"


healthy = partial(meshing.longhorn_healthy, pause=lambda seconds: time.sleep(seconds / 10))


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    with Twin(services=True) as running:
        install_linkerd(running, LINE)
        yield running


def longhorn(step: Any) -> int:
    step.look(meshing.longhorn_there, meshing.longhorn_complete, meshing.longhorn_data_plane)
    step.display(meshing.forecast_longhorn(step))
    with step.undo_on_failure():
        changed = carry(step, *meshing.longhorn_values(step))
        changed += carry(step, *meshing.longhorn_patches(step))
        step.verify(healthy)
    step.verify(meshing.longhorn_meshed, meshing.longhorn_data_plane)
    return changed


@pytest.mark.parametrize(("way", "changes"), [("patch", 2), ("values", 4)])
def test_meshed_twice_and_taken_back(twin: Twin, kept: Kept, way: str, changes: int) -> None:
    before = kept(SPACE)
    shown: list[Any] = []
    step = opened(twin, BOOK, shown, line=LINE, mesh_by=way)
    assert longhorn(step) == changes
    wrong = found(step, meshing.longhorn_meshed, meshing.longhorn_data_plane)
    assert {key: one.seen for key, one in wrong.items()} == {}
    (forecast,) = (one.value for one in shown if isinstance(one.value, Forecast))
    meshed = {f.workload.name for f in forecast.fates if f.decision.meshed}
    assert meshed == {"longhorn-manager", "longhorn-ui"}
    assert any(f.workload.name.startswith("instance-manager") for f in forecast.fates)
    assert longhorn(opened(twin, BOOK, line=LINE, mesh_by=way)) == 0
    undo(step)
    assert kept(SPACE) == before
    until(lambda: found(step, meshing.longhorn_complete) == {})


def test_storage_that_suffers_is_taken_back(twin: Twin, kept: Kept) -> None:
    """The annotation without POD_IP: nobody listens where the proxy passes things on to."""
    before = kept(SPACE)
    shown: list[Any] = []
    step = opened(twin, BOOK, shown, line=LINE, timeout=10)
    managers = named(step, SPACE, ("daemonset/longhorn-manager",))
    with pytest.raises(CheckError, match="storage is healthy"), step.undo_on_failure():
        carry(step, *(annotate(one, {"linkerd.io/inject": "enabled"}) for one in managers))
        step.verify(healthy)
    undone = shown[-1]._repr_mimebundle_()["text/plain"]
    assert "Undone: 1 changed" in undone
    assert kept(SPACE) == before
    until(lambda: found(step, meshing.longhorn_complete) == {})
    assert step.result().undo == ()


def test_a_namespace_that_is_annotated_is_refused(twin: Twin, client: Client) -> None:
    notes = {"metadata": {"annotations": {"linkerd.io/inject": "enabled"}}}
    client.patch(kinds.NAMESPACES, SPACE, notes)
    step = opened(twin, BOOK, line=LINE)
    with pytest.raises(CheckError, match="instance managers are outside"):
        longhorn(step)
    gone = {"metadata": {"annotations": {"linkerd.io/inject": None}}}
    client.patch(kinds.NAMESPACES, SPACE, gone)
    assert found(step, meshing.longhorn_data_plane) == {}


def test_longhorn_that_is_absent_is_refused(twin: Twin) -> None:
    step = opened(twin, BOOK, line=LINE, longhorn_namespace="default")
    with pytest.raises(CheckError, match="Longhorn is there"):
        longhorn(step)


def test_meshed_too_early(twin: Twin, client: Client) -> None:
    """The last one here: it leaves an old Longhorn behind."""
    mesh_mishaps.mesh_longhorn_early(client)
    step = opened(twin, BOOK, line=LINE, mesh_by="patch")
    assert manager_version(step) == (1, 4, 2)
    assert found(step, meshing.longhorn_there)["longhorn-version"].verdict == "warn"
    with pytest.raises(CheckError, match="Longhorn is complete"):
        longhorn(step)
    told = found(step, meshing.longhorn_complete)["longhorn-complete"]
    assert "CSI: CSIDriver driver.longhorn.io is missing" in told.seen
    assert "meshed before the CSI driver was deployed" in told.why
    assert "take it out of the mesh: kubectl -n longhorn-system patch daemonset" in told.fix
    # The way out that it names, then the notebook again.
    path = "/spec/template/metadata/annotations/linkerd.io~1inject"
    client.patch(kinds.DAEMON_SETS, "longhorn-manager", [{"op": "remove", "path": path}], SPACE)
    until(lambda: found(step, meshing.longhorn_complete) == {})
    assert longhorn(opened(twin, BOOK, line=LINE, mesh_by="patch")) == 2
