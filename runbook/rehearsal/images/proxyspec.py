"""The containers Linkerd adds to a pod, made from the values its control plane runs with.

What differs between release lines is read off the values: a key a line does not have is absent.
Names and order of environment variables, ports, probes and mounts are those of the charts'
proxy partials of Linkerd 2.11, 2.14, 2.19 and 2.20.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["anchors_env", "init_container", "native", "proxy_container", "token_volume"]

Object = dict[str, Any]
_END_ENTITY = "/var/run/linkerd/identity/end-entity"
_TOKENS = "/var/run/secrets/tokens"
_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def native(values: Object) -> bool:
    """Tell whether the proxy is a native sidecar."""
    return bool(values["proxy"].get("nativeSidecar"))


def projected(values: Object) -> bool:
    """Tell whether the proxy gets a token of its own; the lines up to 2.11 do not know it."""
    return bool((values.get("identity") or {}).get("serviceAccountTokenProjection"))


def token_volume() -> Object:
    """Give the volume of the proxy's own token."""
    source = {
        "audience": "identity.l5d.io",
        "expirationSeconds": 86400,
        "path": "linkerd-identity-token",
    }
    return {
        "name": "linkerd-identity-token",
        "projected": {"sources": [{"serviceAccountToken": source}]},
    }


def init_container(values: Object, account: Object | None) -> Object:
    """Make ``linkerd-init``, which sends the pod's traffic through the proxy.

    Args:
        values: Values with the pod's overrides applied.
        account: The pod's mount of its service account token, or None.
    """
    proxy, init = values["proxy"], values["proxyInit"]
    ports = proxy["ports"]
    args: list[str] = []
    if init.get("iptablesMode") == "nft":
        args += ["--firewall-bin-path", "iptables-nft"]
        args += ["--firewall-save-bin-path", "iptables-nft-save"]
    if values.get("disableIPv6"):
        args.append("--ipv6=false")
    args += ["--incoming-proxy-port", str(ports["inbound"])]
    args += ["--outgoing-proxy-port", str(ports["outbound"])]
    args += ["--proxy-uid", str(proxy["uid"])]
    if proxy.get("gid", -1) >= 0:
        args += ["--proxy-gid", str(proxy["gid"])]
    ignored = f"{ports['control']},{ports['admin']}"
    if init.get("ignoreInboundPorts"):
        ignored += f",{init['ignoreInboundPorts']}"
    args += ["--inbound-ports-to-ignore", ignored]
    for flag, key in (
        ("--outbound-ports-to-ignore", "ignoreOutboundPorts"),
        ("--log-format", "logFormat"),
        ("--log-level", "logLevel"),
        ("--subnets-to-ignore", "skipSubnets"),
    ):
        if init.get(key):
            args += [flag, str(init[key])]
    root = bool(init.get("runAsRoot"))
    user = init.get("runAsUser") or 65534
    group = {"runAsGroup": init["runAsGroup"] or 65534} if "runAsGroup" in init else {}
    who: Object = (
        {"runAsNonRoot": False, "runAsUser": 0}
        if root
        else {"runAsNonRoot": True, "runAsUser": user, **group}
    )
    container: Object = {
        "name": "linkerd-init",
        "args": args,
        "imagePullPolicy": _pull(values, (init.get("image") or proxy["image"])),
        "securityContext": {
            "allowPrivilegeEscalation": root or bool(init.get("privileged")),
            "capabilities": {"add": ["NET_ADMIN", "NET_RAW"]},
            "privileged": bool(init.get("privileged")),
            **who,
            "readOnlyRootFilesystem": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"mountPath": "/run", "name": "linkerd-proxy-init-xtables-lock"},
            *([account] if account else []),
        ],
    }
    resources = _resources(init.get("resources") or proxy.get("resources") or {})
    if resources:
        container["resources"] = resources
    if (init.get("image") or {}).get("name"):
        container["image"] = f"{init['image']['name']}:{init['image']['version']}"
    else:  # from Linkerd 2.20 on it is a program in the proxy's image
        container["image"] = _image(values)
        container["command"] = ["/usr/lib/linkerd/linkerd2-proxy-init"]
    return container


def proxy_container(values: Object, anchors: str, namespace: str, account: Object | None) -> Object:
    """Make ``linkerd-proxy``.

    Args:
        values: Values with the pod's overrides applied.
        anchors: The trust anchors, PEM.
        namespace: Namespace of the control plane.
        account: The pod's mount of its service account token, or None.
    """
    proxy = values["proxy"]
    ports = proxy["ports"]
    mounts = [{"mountPath": _END_ENTITY, "name": "linkerd-identity-end-entity"}]
    if projected(values):
        mounts.append({"mountPath": _TOKENS, "name": "linkerd-identity-token"})
    if account:
        mounts.append(account)
    security: Object = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsUser": proxy["uid"],
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if projected(values):
        security["runAsNonRoot"] = True
    container: Object = {
        "name": "linkerd-proxy",
        "image": _image(values),
        "imagePullPolicy": _pull(values, proxy["image"]),
        "env": _env(values, anchors, namespace),
        "ports": [
            {"containerPort": ports["inbound"], "name": "linkerd-proxy"},
            {"containerPort": ports["admin"], "name": "linkerd-admin"},
        ],
        "livenessProbe": _probe("/live", ports["admin"], 10),
        "readinessProbe": _probe("/ready", ports["admin"], 2),
        "securityContext": security,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }
    resources = _resources(proxy.get("resources") or {})
    if resources:
        container["resources"] = resources
    _lifecycle(container, proxy)
    return container


def _lifecycle(container: Object, proxy: Object) -> None:
    admin = proxy["ports"]["admin"]
    if proxy.get("nativeSidecar"):
        container["restartPolicy"] = "Always"
        if proxy.get("await", True):
            probe = proxy.get("startupProbe") or {}
            container["startupProbe"] = {
                "httpGet": {"path": "/ready", "port": admin},
                "initialDelaySeconds": probe.get("initialDelaySeconds", 0),
                "periodSeconds": probe.get("periodSeconds", 1),
                "failureThreshold": probe.get("failureThreshold", 120),
            }
        return
    lifecycle: Object = {}
    if proxy.get("await", True):
        command = ["/usr/lib/linkerd/linkerd-await", "--timeout=2m", f"--port={admin}"]
        lifecycle["postStart"] = {"exec": {"command": command}}
    if proxy.get("waitBeforeExitSeconds"):
        seconds = str(proxy["waitBeforeExitSeconds"])
        lifecycle["preStop"] = {"exec": {"command": ["/bin/sleep", seconds]}}
    if lifecycle:
        container["lifecycle"] = lifecycle


def anchors_env(container: Object) -> str:
    """Give the trust anchors a proxy container carries."""
    for entry in container.get("env") or []:
        if entry["name"] == "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS":
            return str(entry.get("value", ""))
    return ""


def _env(values: Object, anchors: str, namespace: str) -> list[Object]:
    proxy = values["proxy"]
    domain = values.get("clusterDomain", "cluster.local")
    trust = values.get("identityTrustDomain") or domain
    modern = "control" in proxy or "runtime" in proxy  # 2.15 and later
    networks = values.get("clusterNetworks", "")
    listen = "[::]" if values.get("disableIPv6") is False else "0.0.0.0"  # noqa: S104
    ports = proxy["ports"]
    names = ["name", "ns", *(["uid", "ip"] if modern else []), "nodeName"]
    fields = {"name": "metadata.name", "ns": "metadata.namespace", "uid": "metadata.uid",
              "ip": "status.podIP", "nodeName": "spec.nodeName"}  # fmt: skip
    env = [_field(f"_pod_{name}", fields[name]) for name in names]
    if modern:
        env.append(_value("_pod_containerName", "linkerd-proxy"))
    env += _cores(proxy)
    pairs: list[tuple[str, object]] = [
        ("INBOUND_PORTS_REQUIRE_IDENTITY", proxy.get("requireIdentityOnInboundPorts") or None),
        ("INBOUND_PORTS_REQUIRE_TLS", proxy.get("requireTLSOnInboundPorts") or None),
    ]
    if "enableShutdownEndpoint" in proxy:
        pairs.append(("SHUTDOWN_ENDPOINT_ENABLED", _bool(proxy["enableShutdownEndpoint"])))
    workload = (
        '{"ns":"$(_pod_ns)", "pod":"$(_pod_name)"}\n' if modern else "$(_pod_ns):$(_pod_name)"
    )
    context = '{"ns":"$(_pod_ns)", "nodeName":"$(_pod_nodeName)"'
    context += ', "pod":"$(_pod_name)"}\n' if projected(values) else "}\n"
    policy = proxy.get("defaultInboundPolicy") or (values.get("policyController") or {}).get(
        "defaultAllowPolicy", "all-unauthenticated"
    )
    pairs += [
        ("LOG", _log_level(proxy)),
        ("LOG_FORMAT", proxy.get("logFormat", "plain")),
        ("DESTINATION_SVC_ADDR", f"linkerd-dst-headless.{namespace}.svc.{domain}.:8086"),
        ("DESTINATION_PROFILE_NETWORKS", networks),
        ("POLICY_SVC_ADDR", f"linkerd-policy.{namespace}.svc.{domain}.:8090"),
        ("POLICY_WORKLOAD", workload),
        ("INBOUND_DEFAULT_POLICY", policy),
        ("POLICY_CLUSTER_NETWORKS", networks),
        *_timeouts(proxy),
        ("CONTROL_LISTEN_ADDR", f"{listen}:{ports['control']}"),
        ("ADMIN_LISTEN_ADDR", f"{listen}:{ports['admin']}"),
        ("OUTBOUND_LISTEN_ADDR", f"127.0.0.1:{ports['outbound']}"),
    ]
    if modern:
        pairs.append(("OUTBOUND_LISTEN_ADDRS", f"127.0.0.1:{ports['outbound']}"))
    pairs.append(("INBOUND_LISTEN_ADDR", f"{listen}:{ports['inbound']}"))
    env += [_value(f"LINKERD2_PROXY_{name}", value) for name, value in pairs if value is not None]
    env.append(_field("LINKERD2_PROXY_INBOUND_IPS", "status.podIPs"))
    suffix = "." if proxy.get("enableExternalProfiles") else f"svc.{domain}."
    pairs = [
        ("INBOUND_PORTS", proxy.get("podInboundPorts") or ("" if modern else None)),
        ("INBOUND_GATEWAY_SUFFIXES", f"svc.{domain}." if proxy.get("isGateway") else None),
        ("INGRESS_MODE", "true" if proxy.get("isIngress") else None),
        ("DESTINATION_PROFILE_SUFFIXES", suffix),
        ("INBOUND_ACCEPT_KEEPALIVE", "10000ms"),
        ("OUTBOUND_CONNECT_KEEPALIVE", "10000ms"),
        *(_modern(proxy) if modern else []),
        ("INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION", proxy.get("opaquePorts") or None),
        ("DESTINATION_CONTEXT", context),
    ]
    env += [_value(f"LINKERD2_PROXY_{name}", value) for name, value in pairs if value is not None]
    env += _identity(values, anchors, namespace, domain, trust)
    return env + _additional(proxy)


def _identity(
    values: Object, anchors: str, namespace: str, domain: str, trust: str
) -> list[Object]:
    token = f"{_TOKENS}/linkerd-identity-token" if projected(values) else f"{_ACCOUNT}/token"
    tail = f"{namespace}.serviceaccount.identity.{namespace}.{trust}"
    local = f"$(_pod_sa).$(_pod_ns).serviceaccount.identity.{namespace}.{trust}"
    return [
        _field("_pod_sa", "spec.serviceAccountName"),
        _value("_l5d_ns", namespace),
        _value("_l5d_trustdomain", trust),
        _value("LINKERD2_PROXY_IDENTITY_DIR", _END_ENTITY),
        _value("LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS", anchors.strip() + "\n"),
        _value("LINKERD2_PROXY_IDENTITY_TOKEN_FILE", token),
        _value(
            "LINKERD2_PROXY_IDENTITY_SVC_ADDR",
            f"linkerd-identity-headless.{namespace}.svc.{domain}.:8080",
        ),
        _value("LINKERD2_PROXY_IDENTITY_LOCAL_NAME", local),
        _value("LINKERD2_PROXY_IDENTITY_SVC_NAME", f"linkerd-identity.{tail}"),
        _value("LINKERD2_PROXY_DESTINATION_SVC_NAME", f"linkerd-destination.{tail}"),
        _value("LINKERD2_PROXY_POLICY_SVC_NAME", f"linkerd-destination.{tail}"),
    ]


def _log_level(proxy: Object) -> str:
    level = str(proxy.get("logLevel", "warn,linkerd=info"))
    if "logHTTPHeaders" in proxy and proxy["logHTTPHeaders"] != "insecure":
        level += ",[{headers}]=off,[{request}]=off"
    return level


def _timeouts(proxy: Object) -> list[tuple[str, object]]:
    streams = (proxy.get("control") or {}).get("streams")
    pairs: list[tuple[str, object]] = []
    if streams is not None:
        pairs = [
            ("CONTROL_STREAM_INITIAL_TIMEOUT", streams.get("initialTimeout", "")),
            ("CONTROL_STREAM_IDLE_TIMEOUT", streams.get("idleTimeout", "")),
            ("CONTROL_STREAM_LIFETIME", streams.get("lifetime", "")),
        ]
    for name, key in (
        ("INBOUND_CONNECT_TIMEOUT", "inboundConnectTimeout"),
        ("OUTBOUND_CONNECT_TIMEOUT", "outboundConnectTimeout"),
        ("OUTBOUND_DISCOVERY_IDLE_TIMEOUT", "outboundDiscoveryCacheUnusedTimeout"),
        ("INBOUND_DISCOVERY_IDLE_TIMEOUT", "inboundDiscoveryCacheUnusedTimeout"),
    ):
        pairs.append((name, proxy.get(key) or None))
    return pairs


def _modern(proxy: Object) -> list[tuple[str, object]]:
    """Give what proxies of Linkerd 2.15 and later are told besides."""
    pairs: list[tuple[str, object]] = [
        ("INBOUND_ACCEPT_USER_TIMEOUT", "30s"),
        ("OUTBOUND_CONNECT_USER_TIMEOUT", "30s"),
    ]
    if "metrics" in proxy:
        labels = (proxy["metrics"] or {}).get("hostnameLabels")
        pairs.append(("OUTBOUND_METRICS_HOSTNAME_LABELS", _bool(labels)))
    for side in ("inbound", "outbound"):
        for scope, protocols in sorted((proxy.get(side) or {}).items()):
            for protocol, settings in sorted((protocols or {}).items()):
                for key, value in sorted((settings or {}).items()):
                    name = "_".join(_snake(part) for part in (side, scope, protocol, key))
                    pairs.append((name, value))
    return pairs


def _snake(text: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text).upper()


def _cores(proxy: Object) -> list[Object]:
    workers = (proxy.get("runtime") or {}).get("workers")
    cores = proxy.get("cores")
    if workers and not cores:
        least = str(workers.get("minimum") or 1)
        env = [_value("LINKERD2_PROXY_CORES", least), _value("LINKERD2_PROXY_CORES_MIN", least)]
        if workers.get("maximum"):
            env.append(_value("LINKERD2_PROXY_CORES_MAX", workers["maximum"]))
        return env
    return [_value("LINKERD2_PROXY_CORES", cores)] if cores else []


def _additional(proxy: Object) -> list[Object]:
    env = []
    if proxy.get("accessLog"):
        env.append(_value("LINKERD2_PROXY_ACCESS_LOG", proxy["accessLog"]))
    if proxy.get("shutdownGracePeriod"):
        env.append(_value("LINKERD2_PROXY_SHUTDOWN_GRACE_PERIOD", proxy["shutdownGracePeriod"]))
    return env + list(proxy.get("additionalEnv") or []) + list(proxy.get("experimentalEnv") or [])


def _field(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _value(name: str, value: object) -> Object:
    return {"name": name, "value": str(value)}


def _bool(value: object) -> str:
    return str(bool(value)).lower()


def _probe(path: str, port: int, delay: int) -> Object:
    return {"httpGet": {"path": path, "port": port}, "initialDelaySeconds": delay}


def _image(values: Object) -> str:
    image = values["proxy"]["image"]
    return f"{image['name']}:{image.get('version') or values.get('linkerdVersion')}"


def _pull(values: Object, image: Object) -> str:
    return str(image.get("pullPolicy") or values.get("imagePullPolicy") or "IfNotPresent")


def _resources(resources: Object) -> Object:
    result: Object = {}
    for name, key in (("cpu", "cpu"), ("memory", "memory"),
                      ("ephemeral-storage", "ephemeral-storage")):  # fmt: skip
        for side in ("limit", "request"):
            amount = (resources.get(key) or {}).get(side)
            if amount:
                result.setdefault(f"{side}s", {})[name] = str(amount)
    return result
