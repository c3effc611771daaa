"""Linkerd's own sidecar: simulated, or where its pod really carries load, a relay.

Simulated it starts, gets its certificate, and is ready. As a relay it passes the pod's traffic on
(``runbook.rehearsal.traffic.relay``).
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, datetime

from runbook.rehearsal.client import Object
from runbook.rehearsal.images import fortio
from runbook.rehearsal.images.kinds import Behaviour, Notice, Situation
from runbook.rehearsal.images.releases import minor_of
from runbook.rehearsal.traffic.delays import delays

__all__ = ["DELAY", "OUTBOUND", "Proxy", "ProxyInit", "build", "ignores", "minor"]

DELAY = "rehearsal.linkerd-runbook/proxy-delay"
"""Annotation: how long the inbound side of a relay holds each request."""
OUTBOUND = 1 << 16
"""Key of the listener for the first container's own traffic: beyond all port numbers."""
_ADMIN = 4191


class Proxy:
    """The container ``linkerd-proxy``; it never completes by itself, not even in a Job."""

    def start(self, situation: Situation) -> Behaviour:
        """Run on, after the first lines a proxy logs."""
        anchors = situation.env.get("LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS", "")
        if "IDENTITY_DISABLED" not in " ".join(situation.env) and "BEGIN CERT" not in anchors:
            text = (
                "ERROR ThreadId(01) linkerd_app::env: "
                "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS is not a valid PEM bundle"
            )
            return Behaviour(exit_code=64, log=(_line(text), "Invalid configuration: invalid env"))
        image = situation.container.get("image", "").rpartition(":")[2]
        local = situation.env.get("LINKERD2_PROXY_IDENTITY_LOCAL_NAME", "")
        lines = (
            f"INFO ThreadId(01) linkerd2_proxy: release {image} (rehearsal)",
            "INFO ThreadId(01) linkerd2_proxy: Admin interface on 0.0.0.0:4191",
            "INFO ThreadId(01) linkerd2_proxy: Inbound interface on 0.0.0.0:4143",
            "INFO ThreadId(01) linkerd2_proxy: Outbound interface on 127.0.0.1:4140",
            f"INFO ThreadId(01) linkerd2_proxy: Local identity is {local}",
            f"INFO ThreadId(02) daemon:identity: linkerd_app: Certified identity id={local}",
        )
        log = tuple(_line(line) for line in lines)
        containers = situation.pod["spec"]["containers"]
        if not any(fortio.is_fortio(container) for container in containers):
            return Behaviour(log=log)
        return _relay(situation, log, image)

    def changed(self, before: Situation, after: Situation) -> Notice | None:
        """Do nothing: its trust anchors are in its environment."""
        return None


class ProxyInit:
    """The init container ``linkerd-init``."""

    def start(self, situation: Situation) -> Behaviour:
        """Complete, after a few of the lines it logs."""
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        lines = (
            "/usr/sbin/iptables-save -t nat",
            "Tracing this script execution as [rehearsal]",
            "Execution completed",
        )
        return Behaviour(
            exit_code=0, log=tuple(f'time="{stamp}" level=info msg="{text}"' for text in lines)
        )

    def changed(self, before: Situation, after: Situation) -> Notice | None:
        """Do nothing: it has ended."""
        return None


def ignores(pod: Object, port: int, *, inbound: bool) -> bool:
    """Tell whether traffic of a port goes past the proxy.

    What counts is what ``linkerd-init`` was told; without one (CNI) the pod's annotations.

    Args:
        pod: The pod.
        port: The port the connection is to.
        inbound: Whether it comes in; else it goes out.
    """
    side = "inbound" if inbound else "outbound"
    listed = (pod["metadata"].get("annotations") or {}).get(
        f"config.linkerd.io/skip-{side}-ports", ""
    )
    for container in pod["spec"].get("initContainers") or []:
        if container["name"] == "linkerd-init":
            words = container.get("args") or []
            flag = f"--{side}-ports-to-ignore"
            listed = words[words.index(flag) + 1] if flag in words[:-1] else ""
    for part in filter(None, (part.strip() for part in listed.split(","))):
        first, _, last = part.partition("-")
        if first.isdigit() and int(first) <= port <= int(last or first):
            return True
    return False


def _relay(situation: Situation, log: tuple[str, ...], image: str) -> Behaviour:
    """Run a process that the traffic of the pod's load containers goes through."""
    pod = situation.pod
    delay = (pod["metadata"].get("annotations") or {}).get(DELAY, "")
    try:
        delays(delay)
    except ValueError as error:
        return Behaviour(exit_code=64, log=(f"Invalid configuration: {DELAY}: {error}",))
    inbound: list[int] = []
    outbound: list[int] = []
    for number, container in enumerate(pod["spec"]["containers"]):
        if fortio.is_fortio(container):
            inbound += [p for p in fortio.served(container) if not ignores(pod, p, inbound=True)]
            outbound += [OUTBOUND + number] if fortio.target(container) else []
    admin = _admin(situation.env)
    extra = {
        "admin": admin,
        "inbound": inbound,
        "outbound": outbound,
        "delay": delay,
        "build": build(image),
        "line": minor(pod),
    }
    return Behaviour(
        log=log,
        module="runbook.rehearsal.traffic.relay",
        ports=(admin, *inbound, *outbound),
        extra=extra,
    )


def _admin(env: Mapping[str, str]) -> int:
    number = env.get("LINKERD2_PROXY_ADMIN_LISTEN_ADDR", "").rpartition(":")[2]
    return int(number) if number.isdigit() else _ADMIN


def build(image: str) -> dict[str, str]:
    """Give the labels of ``proxy_build_info`` for the tag of an image."""
    return {
        "git_sha": "rehearsal",
        "profile": "rehearsal",
        "vendor": "rehearsal",
        "version": f"{image} (rehearsal, {platform.machine()})",
    }


def minor(pod: Object) -> int:
    """Give the release line the pod was injected by: 14 for Linkerd 2.14, the newest if unknown."""
    return minor_of((pod["metadata"].get("annotations") or {}).get("linkerd.io/created-by", ""))


def _line(text: str) -> str:
    return f"[{0.001:12.6f}s]  {text}"
