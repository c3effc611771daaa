"""Custom resources: accepting their definitions, serving them, cleaning up after them."""

from __future__ import annotations

import asyncio

from runbook.rehearsal.apiserver import lifecycle
from runbook.rehearsal.apiserver.bodies import Bodies, Options
from runbook.rehearsal.apiserver.bootstrap import api_service
from runbook.rehearsal.apiserver.lifecycle import Deletion
from runbook.rehearsal.apiserver.registry import Registry
from runbook.rehearsal.apiserver.requests import stamp
from runbook.rehearsal.apiserver.resources import Resource
from runbook.rehearsal.apiserver.store import Change, Object, Store
from runbook.rehearsal.objects import crd as rules

__all__ = ["Definitions"]

_TABLE = ("apiextensions.k8s.io", "customresourcedefinitions")
_SERVICES = ("apiregistration.k8s.io", "apiservices")
_SERVER = Options("kube-apiserver")


class Definitions:
    """Keeps the registry in step with the CustomResourceDefinitions in the store.

    Args:
        store: Definitions and custom resources.
        registry: What is served.
        bodies: Records who wrote the status.
    """

    def __init__(self, store: Store, registry: Registry, bodies: Bodies) -> None:
        self._store = store
        self._registry = registry
        self._bodies = bodies

    def start(self) -> None:
        """Serve the definitions that are there and follow their changes."""
        for definition in self._store.list(_TABLE):
            self._serve(definition)
        self._store.subscribe(self._changed)

    def _changed(self, change: Change) -> None:
        name = change.slot[1]
        if change.table != _TABLE:
            if change.after is None:
                self._emptied(change.table)
            return
        if change.after is None:
            self._forget(name, change.object)
            return
        self._serve(change.after)
        before, after = change.before or {}, change.after
        terminating = "deletionTimestamp" in after["metadata"]
        if terminating or before.get("spec") != after["spec"]:
            asyncio.get_running_loop().call_soon(self._settle, name)

    def _settle(self, name: str) -> None:
        """Accept a new or changed definition, or clean up after a terminating one."""
        definition = self._store.get(_TABLE, "", name)
        if definition is None:
            return
        if "deletionTimestamp" in definition["metadata"]:
            self._clean_up(definition)
            return
        accepted = rules.accept(definition, stamp(), taken=self._taken(definition))
        if lifecycle.same(definition, accepted):
            return
        resource = self._resource()
        tracked = self._bodies.track(resource, definition, accepted, _SERVER, "status")
        self._store.put(_TABLE, tracked)

    def _resource(self) -> Resource:
        found = self._registry.stored(_TABLE)
        assert found is not None  # noqa: S101 - built in
        return found

    def _taken(self, definition: Object) -> str:
        """Name what of a definition's names another one has already."""
        spec = definition["spec"]
        for other in self._store.list(_TABLE):
            theirs = other["spec"]
            if other["metadata"]["name"] == definition["metadata"]["name"]:
                continue
            if (
                theirs["group"] == spec["group"]
                and theirs["names"]["kind"] == spec["names"]["kind"]
            ):
                return f'"{spec["names"]["kind"]}" is already in use'
        return ""

    def _serve(self, definition: Object) -> None:
        if not _established(definition):
            return
        self._registry.define(definition)
        group = definition["spec"]["group"]
        for version in definition["spec"]["versions"]:
            service = api_service(group, version["name"])
            known = self._store.get(_SERVICES, "", service["metadata"]["name"])
            if version.get("served") and known is None:
                service["metadata"]["labels"] = {
                    "kube-aggregator.kubernetes.io/automanaged": "true"
                }
                resource = self._registry.stored(_SERVICES)
                assert resource is not None  # noqa: S101 - built in
                self._store.put(_SERVICES, lifecycle.new(resource, service))

    def _forget(self, name: str, definition: Object) -> None:
        self._registry.drop(name)
        group = definition["spec"]["group"]
        served = self._registry.groups().get(group, [])
        for version in definition["spec"]["versions"]:
            service = f"{version['name']}.{group}"
            if version["name"] not in served and self._store.get(_SERVICES, "", service):
                self._store.remove(_SERVICES, "", service)

    def _clean_up(self, definition: Object) -> None:
        """Delete the custom resources of a terminating definition, then let it go."""
        table = (definition["spec"]["group"], definition["spec"]["names"]["plural"])
        resource = self._registry.stored(table)
        for obj in self._store.list(table) if resource else ():
            assert resource is not None  # noqa: S101 - the loop is empty without one
            left = lifecycle.start_deletion(resource, obj, Deletion())
            metadata = obj["metadata"]
            if left is None:
                self._store.remove(table, metadata.get("namespace", ""), metadata["name"])
            elif left != obj:
                self._store.put(table, left)
        if not self._store.list(table):
            self._store.remove(_TABLE, "", definition["metadata"]["name"])

    def _emptied(self, table: tuple[str, str]) -> None:
        """Go on with a terminating definition when a custom resource has gone."""
        name = f"{table[1]}.{table[0]}"
        definition = self._store.get(_TABLE, "", name)
        if definition is not None and "deletionTimestamp" in definition["metadata"]:
            asyncio.get_running_loop().call_soon(self._settle, name)


def _established(definition: Object) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)
