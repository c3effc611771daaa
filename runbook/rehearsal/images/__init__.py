"""What the rehearsal cluster knows about images: how a container of one behaves.

An image is recognised by container name and arguments, so that mirrored registries and our own
charts work alike. Everything unknown is simulated: it starts, says so, and runs on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from runbook.rehearsal.client import Object
from runbook.rehearsal.images.fortio import Fortio, is_fortio
from runbook.rehearsal.images.grafana import DashboardSidecar, Grafana, is_grafana, is_sidecar
from runbook.rehearsal.images.identity import Identity
from runbook.rehearsal.images.kinds import Access, Behaviour, Notice, Situation
from runbook.rehearsal.images.probe import Probe
from runbook.rehearsal.images.prometheus import Prometheus, is_prometheus
from runbook.rehearsal.images.proxy import Proxy, ProxyInit
from runbook.rehearsal.images.simulated import Simulated
from runbook.rehearsal.images.traefik import Traefik, is_traefik

__all__ = ["Access", "Behaviour", "Image", "Notice", "Situation", "find"]

_WEBHOOKS: Mapping[str, str] = {
    "proxy-injector": "runbook.rehearsal.images.injector",
    "sp-validator": "runbook.rehearsal.images.validator",
    "policy": "runbook.rehearsal.images.validator",
}
_VIZ: Mapping[str, tuple[str, str]] = {
    "tap-injector": ("-tap-service-name=", "runbook.rehearsal.images.tapinjector"),
    "web": ("-linkerd-metrics-api-addr=", "runbook.rehearsal.images.web"),
}
"""Containers of Viz that are processes: an argument that tells them, and what they run."""


class Image(Protocol):
    """How containers of an image behave."""

    def start(self, situation: Situation) -> Behaviour:
        """Say what happens when a container starts."""

    def changed(self, before: Situation, after: Situation) -> Notice | None:
        """Say what a running container makes of changed files, if anything."""


@dataclass(frozen=True)
class Webhook:
    """A container of Linkerd that answers reviews, or browsers, as a real process.

    Args:
        module: What the process runs.
    """

    module: str

    def start(self, situation: Situation) -> Behaviour:
        """Run the process, with a listener for each port of the container."""
        ports = [port["containerPort"] for port in situation.container.get("ports") or []]
        return Behaviour(module=self.module, ports=tuple(ports))

    def changed(self, before: Situation, after: Situation) -> Notice | None:
        """Do nothing: the process reads its files itself."""
        return None


_BY_NAME: Mapping[str, Image] = {
    "linkerd-proxy": Proxy(),
    "linkerd-init": ProxyInit(),
    "probe": Probe(),
}
_BY_LOOKS: tuple[tuple[Callable[[Object], bool], Image], ...] = (
    (is_fortio, Fortio()),
    (is_prometheus, Prometheus()),
    (is_traefik, Traefik()),
    (is_sidecar, DashboardSidecar()),
    (is_grafana, Grafana()),
)


def find(container: Object) -> Image:
    """Find how a container behaves.

    Args:
        container: Entry of a pod's containers or init containers.
    """
    name, image = container["name"], container.get("image", "")
    if name == "identity" and "identity" in (container.get("args") or []):
        return Identity()
    if (module := _of_viz(container)) is not None:
        return Webhook(module)
    if name in _WEBHOOKS and ("/controller:" in image or "/policy-controller:" in image):
        return Webhook(_WEBHOOKS[name])
    for is_one, behaves in _BY_LOOKS:
        if is_one(container):
            return behaves
    return _BY_NAME.get(name, Simulated())


def _of_viz(container: Object) -> str | None:
    flag, module = _VIZ.get(container["name"], ("", ""))
    known = any(arg.startswith(flag) for arg in container.get("args") or [])
    return module if module and known else None
