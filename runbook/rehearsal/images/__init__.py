"""What the rehearsal cluster knows about images: how a container of one behaves.

An image is recognised by container name and arguments, so that mirrored registries and our own
charts work alike. Everything unknown is simulated: it starts, says so, and runs on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from runbook.rehearsal.client import Object
from runbook.rehearsal.images.fortio import Fortio, is_fortio
from runbook.rehearsal.images.identity import Identity
from runbook.rehearsal.images.kinds import Behaviour, Notice, Situation
from runbook.rehearsal.images.probe import Probe
from runbook.rehearsal.images.proxy import Proxy, ProxyInit
from runbook.rehearsal.images.simulated import Simulated

__all__ = ["Behaviour", "Image", "Notice", "Situation", "find"]

_WEBHOOKS: Mapping[str, str] = {
    "proxy-injector": "runbook.rehearsal.images.injector",
    "sp-validator": "runbook.rehearsal.images.validator",
    "policy": "runbook.rehearsal.images.validator",
}


class Image(Protocol):
    """How containers of an image behave."""

    def start(self, situation: Situation) -> Behaviour:
        """Say what happens when a container starts."""

    def changed(self, before: Situation, after: Situation) -> Notice | None:
        """Say what a running container makes of changed files, if anything."""


@dataclass(frozen=True)
class Webhook:
    """A control-plane container that answers admission reviews as a real process.

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


def find(container: Object) -> Image:
    """Find how a container behaves.

    Args:
        container: Entry of a pod's containers or init containers.
    """
    name, image = container["name"], container.get("image", "")
    if name == "identity" and "identity" in (container.get("args") or []):
        return Identity()
    if name in _WEBHOOKS and ("/controller:" in image or "/policy-controller:" in image):
        return Webhook(_WEBHOOKS[name])
    if is_fortio(container):
        return Fortio()
    return _BY_NAME.get(name, Simulated())
