"""Linkerd's own sidecar, simulated: it starts, gets its certificate, and is ready."""

from __future__ import annotations

from datetime import UTC, datetime

from runbook.rehearsal.images.kinds import Behaviour, Notice, Situation

__all__ = ["Proxy", "ProxyInit"]


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
        return Behaviour(log=tuple(_line(line) for line in lines))

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


def _line(text: str) -> str:
    return f"[{0.001:12.6f}s]  {text}"
