"""The release lines of Linkerd and what differs between them.

Pure data. The numbers come from the charts at each tag of the linkerd2 repository
(``Chart.yaml``, ``values.yaml``, ``templates/``), the Kubernetes ranges from Linkerd's table
``reference/k8s-versions``. Since February 2024 the project publishes edge releases only; a
"version" such as 2.20 is a tag on one of them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from runbook.errors import LineError

__all__ = [
    "CONTROL_PLANE",
    "DEFAULT",
    "LINES",
    "WEBHOOKS",
    "Chart",
    "Crd",
    "Line",
    "Version",
    "Webhook",
    "at_version",
    "charts",
    "find",
    "newest_for",
    "parse_version",
    "require",
]

Version = tuple[int, int]
"""Major and minor version of Kubernetes: ``(1, 31)``."""

DEFAULT = "edge-2.20"

STABLE = "https://helm.linkerd.io/stable"  # frozen at stable-2.14.10
EDGE = "https://helm.linkerd.io/edge"

CONTROL_PLANE = ("linkerd-destination", "linkerd-identity", "linkerd-proxy-injector")
"""The Deployments of the control plane, the same in every line."""

SEE_VERSIONS = "https://linkerd.io/2-edge/reference/k8s-versions/"


@dataclass(frozen=True)
class Chart:
    """A Helm chart, the release it is installed as, and its version."""

    name: str
    release: str
    version: str


@dataclass(frozen=True)
class Crd:
    """A CustomResourceDefinition and the newest version a line's chart gives it."""

    name: str
    version: str


@dataclass(frozen=True)
class Webhook:
    """An admission webhook of the control plane: configuration, certificate and server name.

    Linkerd 2.11 and later keep the certificate in a Secret of type ``kubernetes.io/tls``.
    """

    title: str
    kind: Literal["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"]
    configuration: str
    secret: str
    service: str


WEBHOOKS = (
    Webhook(
        "proxy-injector",
        "MutatingWebhookConfiguration",
        "linkerd-proxy-injector-webhook-config",
        "linkerd-proxy-injector-k8s-tls",
        "linkerd-proxy-injector",
    ),
    Webhook(
        "sp-validator",
        "ValidatingWebhookConfiguration",
        "linkerd-sp-validator-webhook-config",
        "linkerd-sp-validator-k8s-tls",
        "linkerd-sp-validator",
    ),
    Webhook(
        "policy-validator",
        "ValidatingWebhookConfiguration",
        "linkerd-policy-validator-webhook-config",
        "linkerd-policy-validator-k8s-tls",
        "linkerd-policy-validator",
    ),
)
"""The webhooks of the control plane, the same names in every line."""


@dataclass(frozen=True)
class Line:
    """One release line: what to install, where it runs, how it differs.

    Attributes:
        name: Name used in parameters, such as ``edge-2.20``.
        version: Linkerd's version, such as ``2.20``.
        app_version: ``linkerdVersion`` of the charts, such as ``edge-26.6.3``.
        repository: Address of the Helm repository.
        charts: The charts in the order they are installed.
        kube_min: Oldest Kubernetes the charts accept (``kubeVersion``).
        kube_max: Newest Kubernetes Linkerd documents; newer is a warning, not a stop.
        kube_stop: First Kubernetes that cannot run the line, if one is known.
        kube_stop_why: Why ``kube_stop`` is a stop.
        crds: The CustomResourceDefinitions the charts create.
        architectures: ``nodeInfo.architecture`` values that have images.
        trust_roots: ConfigMap that holds the trust anchors the proxies use.
        cluster_networks: Default of ``clusterNetworks``, comma separated.
        injector_skips: Namespaces the injector's webhook never sees.
        run_as_root: Whether ``linkerd-init`` runs as root by default.
        iptables_mode: Default of ``proxyInit.iptablesMode``.
        native_sidecar: Whether the proxy is a native sidecar by default.
        native_annotations: Annotations of a pod that decide about that, the first one present wins.
        token_projection: Whether the proxy brings a token of its own, so that pods without a
            service account token can be meshed (value ``identity.serviceAccountTokenProjection``).
        shutdown_endpoint: Whether a proxy ends on ``POST /shutdown`` unless told otherwise.
        gateway_api: Who brings the Gateway API CRDs: nobody needs them, Linkerd bundles them,
            or the cluster's owner installs them.
        gateway_range: Oldest and newest Gateway API bundle the line documents.
        gateway_value: Value of the CRD chart that turns the bundled copy on or off.
        pod_security: Whether the namespace carries a Pod Security label (2.13 and later).
        admin_ports: Name of the admin port of each control-plane container.
        install_namespace: Whether the charts create their namespaces unless told not to (2.11).
        viz: Chart of the Viz extension.
        viz_admin_port: Name of the admin port of each of its containers.
        jaeger: Chart of the Jaeger extension, ``None`` where there is none (from 2.19 on).
        grafana_values: Whether ``linkerd-viz`` has ``grafana.url`` and ``grafana.externalUrl``;
            2.11 has ``grafanaUrl`` and a Grafana of its own.
        pod_monitors: Whether the control plane's chart can create PodMonitors.
        namespace_job_optional: Whether the Job by which ``linkerd-viz`` labels its namespace can
            be left out (value ``createNamespaceMetadataJob``).
    """

    name: str
    version: str
    app_version: str
    repository: str
    charts: tuple[Chart, ...]
    kube_min: Version
    kube_max: Version
    crds: tuple[Crd, ...]
    cluster_networks: str
    viz: Chart
    jaeger: Chart | None = None
    kube_stop: Version | None = None
    kube_stop_why: str = ""
    architectures: tuple[str, ...] = ("arm64", "amd64")
    trust_roots: str = "linkerd-identity-trust-roots"
    injector_skips: tuple[str, ...] = ("kube-system", "cert-manager")
    run_as_root: bool = False
    iptables_mode: Literal["legacy", "nft"] = "legacy"
    native_sidecar: bool = False
    native_annotations: tuple[str, ...] = ()
    token_projection: bool = True
    shutdown_endpoint: bool = False
    gateway_api: Literal["unused", "bundled", "external"] = "external"
    gateway_range: tuple[str, str] = ("", "")
    gateway_value: str = ""
    pod_security: bool = True
    admin_ports: Mapping[str, str] = field(default_factory=dict)
    install_namespace: bool = False
    viz_admin_port: str = "admin"
    grafana_values: bool = True
    pod_monitors: bool = True
    namespace_job_optional: bool = True

    @property
    def control_plane(self) -> Chart:
        """Give the chart of the control plane: the last one to install."""
        return self.charts[-1]

    @property
    def crds_chart(self) -> Chart | None:
        """Give the chart of the CRDs, ``None`` where the control plane brings them (2.11)."""
        return self.charts[0] if len(self.charts) > 1 else None

    @property
    def kube_range(self) -> str:
        """Give the Kubernetes versions the line runs on, in words."""
        if self.kube_stop is None:
            return f"{_dotted(self.kube_min)} or newer (documented to {_dotted(self.kube_max)})"
        last = (self.kube_stop[0], self.kube_stop[1] - 1)
        documented = f" (documented to {_dotted(self.kube_max)})" if self.kube_max < last else ""
        return f"{_dotted(self.kube_min)} to {_dotted(last)}{documented}"

    def runs_on(self, version: Version) -> bool:
        """Tell whether the line can run on a Kubernetes version at all."""
        return version >= self.kube_min and (self.kube_stop is None or version < self.kube_stop)


_POLICY = (
    Crd("serverauthorizations.policy.linkerd.io", "v1beta1"),
    Crd("serviceprofiles.linkerd.io", "v1alpha2"),
)
_CRDS_212 = (  # linkerd-crds since 2.12
    *_POLICY,
    Crd("authorizationpolicies.policy.linkerd.io", "v1alpha1"),
    Crd("httproutes.policy.linkerd.io", "v1beta3"),
    Crd("meshtlsauthentications.policy.linkerd.io", "v1alpha1"),
    Crd("networkauthentications.policy.linkerd.io", "v1alpha1"),
)
_CRDS_216 = (  # linkerd-crds of the edge lines
    *_CRDS_212,
    Crd("servers.policy.linkerd.io", "v1beta3"),
    Crd("egressnetworks.policy.linkerd.io", "v1alpha1"),
    Crd("httplocalratelimitpolicies.policy.linkerd.io", "v1alpha1"),
    Crd("externalworkloads.workload.linkerd.io", "v1beta1"),
)
_NETWORKS = "10.0.0.0/8,100.64.0.0/10,172.16.0.0/12,192.168.0.0/16"
_ONE_ADMIN_NAME = dict.fromkeys(
    ("identity", "destination", "sp-validator", "policy", "proxy-injector"), "admin-http"
)
_ADMIN_NAMES = {  # renamed in edge-25.6.3
    "identity": "ident-admin",
    "destination": "dest-admin",
    "sp-validator": "spval-admin",
    "policy": "policy-admin",
    "proxy-injector": "injector-admin",
}


_NATIVE = (  # pkg/k8s/labels.go; the stages came one after another, and the latest wins
    "config.linkerd.io/proxy-enable-native-sidecar",
    "config.beta.linkerd.io/proxy-enable-native-sidecar",
    "config.alpha.linkerd.io/proxy-enable-native-sidecar",
)


def _edge(version: str) -> tuple[Chart, ...]:
    """Give the two charts of an edge release; they share one calendar version."""
    return (
        Chart("linkerd-crds", "linkerd-crds", version),
        Chart("linkerd-control-plane", "linkerd-control-plane", version),
    )


LINES: tuple[Line, ...] = (
    Line(
        name="stable-2.11",
        version="2.11",
        app_version="stable-2.11.5",
        repository=STABLE,
        charts=(Chart("linkerd2", "linkerd2", "2.11.5"),),
        kube_min=(1, 17),
        kube_max=(1, 23),
        kube_stop=(1, 25),
        kube_stop_why="its CronJob linkerd-heartbeat is batch/v1beta1, gone in Kubernetes 1.25",
        crds=(
            *_POLICY,
            Crd("servers.policy.linkerd.io", "v1beta1"),
            Crd("trafficsplits.split.smi-spec.io", "v1alpha2"),
        ),
        architectures=("arm64", "amd64", "arm"),
        viz=Chart("linkerd-viz", "linkerd-viz", "2.11.5"),
        jaeger=Chart("linkerd-jaeger", "linkerd-jaeger", "2.11.5"),
        viz_admin_port="admin-http",
        namespace_job_optional=False,
        grafana_values=False,
        pod_monitors=False,
        cluster_networks=_NETWORKS,
        injector_skips=(),
        run_as_root=True,
        token_projection=False,
        shutdown_endpoint=True,
        gateway_api="unused",
        pod_security=False,
        admin_ports={**_ONE_ADMIN_NAME, "policy": "admin"},
        install_namespace=True,
    ),
    Line(
        name="stable-2.14",
        version="2.14",
        app_version="stable-2.14.10",
        repository=STABLE,
        charts=(
            Chart("linkerd-crds", "linkerd-crds", "1.8.0"),
            Chart("linkerd-control-plane", "linkerd-control-plane", "1.16.11"),
        ),
        kube_min=(1, 21),
        kube_max=(1, 28),
        crds=(*_CRDS_212, Crd("servers.policy.linkerd.io", "v1beta1")),
        architectures=("arm64", "amd64", "arm"),
        viz=Chart("linkerd-viz", "linkerd-viz", "30.12.11"),
        jaeger=Chart("linkerd-jaeger", "linkerd-jaeger", "30.12.11"),
        viz_admin_port="admin-http",
        namespace_job_optional=False,
        shutdown_endpoint=True,
        cluster_networks=_NETWORKS,
        gateway_api="bundled",
        gateway_value="enableHttpRoutes",
        admin_ports=_ONE_ADMIN_NAME,
    ),
    Line(
        name="edge-2.19",
        version="2.19",
        app_version="edge-25.10.7",
        repository=EDGE,
        charts=_edge("2025.10.7"),
        kube_min=(1, 23),
        kube_max=(1, 35),
        crds=_CRDS_216,
        viz=Chart("linkerd-viz", "linkerd-viz", "2025.10.7"),
        cluster_networks=f"{_NETWORKS},fd00::/8",
        iptables_mode="nft",
        native_annotations=_NATIVE[1:],
        gateway_range=("1.1.1", "1.2.1"),
        gateway_value="installGatewayAPI",
        admin_ports=_ADMIN_NAMES,
    ),
    Line(
        name="edge-2.20",
        version="2.20",
        app_version="edge-26.6.3",
        repository=EDGE,
        charts=_edge("2026.6.3"),
        kube_min=(1, 31),
        kube_max=(1, 35),
        crds=_CRDS_216,
        viz=Chart("linkerd-viz", "linkerd-viz", "2026.6.3"),
        cluster_networks=f"{_NETWORKS},fd00::/8",
        iptables_mode="nft",
        native_sidecar=True,
        native_annotations=_NATIVE,
        gateway_range=("1.2.1", "1.5.1"),
        gateway_value="installGatewayAPI",
        admin_ports=_ADMIN_NAMES,
    ),
)
"""The release lines, oldest first."""


def find(name: str) -> Line:
    """Find a release line by name.

    Raises:
        LineError: No such line; the message suggests the nearest name.
    """
    names = [line.name for line in LINES]
    if name in names:
        return LINES[names.index(name)]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.3)
    raise LineError(
        f"there is no release line {name!r}",
        why=f"the lines are {', '.join(names)}",
        fix=f"did you mean {near[0]}?" if near else f"the default is {DEFAULT}",
        see=SEE_VERSIONS,
    )


def require(line: Line, server_version: str) -> None:
    """Refuse a line that the server's version cannot run.

    Args:
        line: The chosen line.
        server_version: Version of the API server, such as ``1.35.0+k3s1``.

    Raises:
        LineError: The server is too old or too new; the message says which lines can run.
    """
    version = parse_version(server_version)
    if line.runs_on(version):
        return
    old = version < line.kube_min
    limit = f"its charts need {_dotted(line.kube_min)} or newer" if old else line.kube_stop_why
    able = [other.name for other in LINES if other.runs_on(version)]
    raise LineError(
        f"{line.name} cannot run on Kubernetes {server_version}: the server is too "
        f"{'old' if old else 'new'}",
        why=f"{limit}; {line.name} runs on {line.kube_range}",
        fix=f"on this server use line {' or '.join(reversed(able))}"
        if able
        else "no line of this runbook runs on it: upgrade Kubernetes",
        see=SEE_VERSIONS,
    )


def newest_for(server_version: str) -> Line | None:
    """Give the newest line that can run on a server, ``None`` if none can."""
    version = parse_version(server_version)
    return next((line for line in reversed(LINES) if line.runs_on(version)), None)


def charts(line: Line, version: str = "") -> tuple[Chart, ...]:
    """Give the charts of a line, at another version when one is asked for.

    Edge charts share one version, so all of them move; the stable charts are numbered apart,
    so ``version`` is the control plane's and the others stay.

    Args:
        line: The release line.
        version: Chart version; empty means the line's own.
    """
    return tuple(at_version(line, chart, version) for chart in line.charts)


def at_version(line: Line, chart: Chart, version: str = "") -> Chart:
    """Give a chart of a line at the version that goes with one of the control plane's.

    Args:
        line: The release line.
        chart: One of its charts, or of its extensions.
        version: Version of the control plane's chart; empty means the line's own.
    """
    shares = chart.version == line.control_plane.version
    return replace(chart, version=version) if version and shares else chart


def parse_version(text: str) -> Version:
    """Read major and minor of a Kubernetes version.

    >>> parse_version("v1.35.0+k3s1"), parse_version("1.24")
    ((1, 35), (1, 24))

    Raises:
        LineError: The text is not a version.
    """
    found = re.match(r"v?(\d+)\.(\d+)", text)
    if found is None:
        raise LineError(
            f"{text!r} is not a Kubernetes version",
            why="the API server's /version did not give a gitVersion such as v1.35.0+k3s1",
        )
    return int(found[1]), int(found[2])


def _dotted(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
