"""Checks that ``clusterNetworks`` holds every address of the cluster.

An address outside of it is treated by the proxies as outside the cluster: no discovery, no mTLS.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from runbook.checks import Context, Outcome
from runbook.linkerd.installed import read_config
from runbook.linkerd.outcomes import anchor_link, few, judge

__all__ = ["cluster_networks"]

Network = IPv4Network | IPv6Network


def cluster_networks(context: Context) -> Iterator[Outcome]:
    """Linkerd's clusterNetworks hold every node, pod and service address."""
    text = _configured(context)
    networks, malformed = _parse(text)
    if malformed:
        yield judge(
            "cluster-networks",
            "clusterNetworks is a list of networks",
            False,
            expected="comma separated networks such as 10.0.0.0/8",
            seen=few(malformed),
            fix="correct clusterNetworks in values",
            see=anchor_link("l5d-cluster-networks-cidr"),
        )
        return
    kinds = (
        ("nodes", "node podCIDRs", _node_cidrs(context), "l5d-cluster-networks-cidr"),
        ("pods", "pods", _pod_addresses(context), "l5d-cluster-networks-pods"),
        ("services", "services", _service_addresses(context), "l5d-cluster-networks-pods"),
    )
    for kind, words, addresses, hint in kinds:
        every = list(addresses)
        outside = [f"{who} {cidr}" for who, cidr in every if not _inside(cidr, networks)]
        yield judge(
            f"cluster-networks-{kind}",
            f"clusterNetworks holds all {words}",
            not outside,
            expected=text,
            seen=few(outside) or f"{len(every)} inside" if every else "none assigned",
            why="proxies treat these addresses as outside the cluster: no discovery and no mTLS",
            fix="add their network to values: {clusterNetworks: ...}",
            see=anchor_link(hint),
            linkerd=f"cluster networks contains all {words}",
        )


def _configured(context: Context) -> str:
    config = read_config(context)
    fallback = context.params.values.get("clusterNetworks", context.line.cluster_networks)
    return str(config.get("clusterNetworks", fallback) if config else fallback)


def _parse(text: str) -> tuple[list[Network], list[str]]:
    networks: list[Network] = []
    malformed: list[str] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        try:
            networks.append(ipaddress.ip_network(part, strict=False))
        except ValueError:
            malformed.append(part)
    return networks, malformed or ([] if networks else ["empty"])


def _inside(cidr: str, networks: Iterable[Network]) -> bool:
    try:
        wanted = ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return False
    return any(_contains(network, wanted) for network in networks)


def _contains(network: Network, wanted: Network) -> bool:
    if isinstance(network, IPv4Network) and isinstance(wanted, IPv4Network):
        return wanted.subnet_of(network)
    if isinstance(network, IPv6Network) and isinstance(wanted, IPv6Network):
        return wanted.subnet_of(network)
    return False


def _node_cidrs(context: Context) -> Iterator[tuple[str, str]]:
    for node in context.cluster.list("v1", "Node"):
        spec = node.get("spec") or {}
        for cidr in spec.get("podCIDRs") or filter(None, [spec.get("podCIDR")]):
            yield f"{node['metadata']['name']}", str(cidr)


def _pod_addresses(context: Context) -> Iterator[tuple[str, str]]:
    for pod in context.cluster.list("v1", "Pod"):
        address = (pod.get("status") or {}).get("podIP")
        if address and not pod["spec"].get("hostNetwork"):
            yield _named(pod), _host(address)


def _service_addresses(context: Context) -> Iterator[tuple[str, str]]:
    for service in context.cluster.list("v1", "Service"):
        address = service["spec"].get("clusterIP")
        if address and address != "None":
            yield _named(service), _host(address)


def _named(obj: dict[str, Any]) -> str:
    return f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"


def _host(address: str) -> str:
    found: IPv4Address | IPv6Address
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return f"{found}/{found.max_prefixlen}"
