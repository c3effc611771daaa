"""When an APIService is available: the rules and words of kube-aggregator."""

from __future__ import annotations

from typing import Any, cast

import pytest

from runbook.rehearsal.client import Client
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.apiservices import ApiServices
from runbook.rehearsal.controllers.cache import Cache
from runbook.rehearsal.controllers.events import Recorder
from runbook.rehearsal.controllers.manager import Cluster

Object = dict[str, Any]


class Written:
    """Takes the place of a client: keeps the status that was written last."""

    def __init__(self) -> None:
        self.statuses: list[Object] = []

    def patch(self, resource: Any, name: str, body: Object, *_: Any, **__: Any) -> None:
        self.statuses.append(body["status"])


def api_service(**spec: Any) -> Object:
    meta = {"name": "v1alpha1.tap.linkerd.io", "uid": "1", "resourceVersion": "1"}
    return {"metadata": meta, "spec": {"group": "tap.linkerd.io", "version": "v1alpha1", **spec}}


def service(port: int = 443) -> Object:
    meta = {"name": "tap", "namespace": "viz", "uid": "2", "resourceVersion": "2"}
    return {"metadata": meta, "spec": {"ports": [{"name": "apiserver", "port": port}]}}


def endpoints(port: str = "apiserver", *, ready: bool = True) -> Object:
    labels = {"kubernetes.io/service-name": "tap"}
    return {
        "metadata": {
            "name": "tap-1",
            "namespace": "viz",
            "uid": "3",
            "resourceVersion": "3",
            "labels": labels,
        },
        "endpoints": [{"addresses": ["10.42.0.1"], "conditions": {"ready": ready}}],
        "ports": [{"name": port, "port": 8089}],
    }


NAMED = api_service(service={"name": "tap", "namespace": "viz", "port": 443})
TEXT = 'service/tap in "viz"'


@pytest.mark.parametrize(
    ("services", "slices", "status", "reason", "message"),
    [
        ([], [], "False", "ServiceNotFound", f"{TEXT} is not present"),
        ([service(80)], [], "False", "ServicePortError", f"{TEXT} is not listening on port 443"),
        (
            [service()],
            [],
            "False",
            "EndpointsNotFound",
            f"cannot find endpointslices for {TEXT}",
        ),
        (
            [service()],
            [endpoints(ready=False)],
            "False",
            "MissingEndpoints",
            f'endpointslices for {TEXT} have no addresses with port name "apiserver"',
        ),
        (
            [service()],
            [endpoints("grpc")],
            "False",
            "MissingEndpoints",
            f'endpointslices for {TEXT} have no addresses with port name "apiserver"',
        ),
        ([service()], [endpoints()], "True", "Passed", "all checks passed"),
    ],
)
def test_the_condition_follows_the_service(
    services: list[Object], slices: list[Object], status: str, reason: str, message: str
) -> None:
    controller, written, cache = controller_of(NAMED)
    for obj in services:
        cache.put(kinds.SERVICES, obj)
    for obj in slices:
        cache.put(kinds.SLICES, obj)
    assert controller.reconcile(kinds.key(NAMED)) is None
    ((condition,),) = [found["conditions"] for found in written.statuses]
    del condition["lastTransitionTime"]
    assert condition == {
        "type": "Available",
        "status": status,
        "reason": reason,
        "message": message,
    }


def test_an_api_of_the_servers_own_is_left_alone() -> None:
    controller, written, _ = controller_of(api_service())
    controller.reconcile(("", "v1alpha1.tap.linkerd.io"))
    controller.reconcile(("", "absent"))
    assert written.statuses == []


def test_changes_of_the_service_lead_to_those_that_name_it() -> None:
    controller, _, _ = controller_of(NAMED)
    interests = controller.interests()
    key = ("", "v1alpha1.tap.linkerd.io")
    assert list(interests[kinds.SERVICES](service())) == [key]
    assert list(interests[kinds.SLICES](endpoints())) == [key]
    other = {**service(), "metadata": {"name": "web", "namespace": "viz"}}
    assert list(interests[kinds.SERVICES](other)) == []


def controller_of(found: Object) -> tuple[ApiServices, Written, Cache]:
    written, cache = Written(), Cache(lambda _: None)
    for resource in (kinds.API_SERVICES, kinds.SERVICES, kinds.SLICES):
        cache.follows(resource)
    cache.put(kinds.API_SERVICES, found)
    client = cast("Client", written)
    return ApiServices(Cluster(client, cache, cast("Recorder", None))), written, cache
