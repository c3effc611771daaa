"""The tap-injector webhook of Viz as a process of its own: meshed pods learn who may tap them."""

from __future__ import annotations

from typing import Any

from runbook.rehearsal.images.serving import Api, Settings, log, review, serve

__all__ = ["TapInjector", "tap_patch"]

Object = dict[str, Any]

_ENABLED = "viz.linkerd.io/tap-enabled"
_DISABLED = "viz.linkerd.io/disable-tap"
_TRUE = {"1", "t", "T", "true", "TRUE", "True"}
_FLAG = "-tap-service-name="


def tap_patch(pod: Object, namespace: Object, service: str) -> list[Object]:
    """Make the JSON patch that lets the tap service connect to a pod's proxy.

    Args:
        pod: The pod; without a proxy, or if it was asked before, it is left alone.
        namespace: Its namespace.
        service: Identity of the tap service.
    """
    where = _proxy(pod["spec"])
    notes = pod["metadata"].get("annotations") or {}
    if not where or _ENABLED in notes or _off(namespace) or _off(pod):
        return []
    path = "/metadata/annotations"
    first = [] if notes else [{"op": "add", "path": path, "value": {}}]
    variable = {"name": "LINKERD2_PROXY_TAP_SVC_NAME", "value": service}
    return [
        *first,
        {"op": "add", "path": f"{path}/{_ENABLED.replace('/', '~1')}", "value": "true"},
        {"op": "add", "path": f"/spec/{where}/env/-", "value": variable},
    ]


def _proxy(spec: Object) -> str:
    """Give the path of the proxy in a pod's spec; empty when there is none."""
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or []):
            if container["name"] == "linkerd-proxy":
                return f"{field}/{index}"
    return ""


def _off(obj: Object) -> bool:
    return ((obj.get("metadata") or {}).get("annotations") or {}).get(_DISABLED) in _TRUE


class TapInjector:
    """Answer admission reviews of pods.

    Args:
        settings: What the kubelet handed over.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        flags = (arg for arg in settings.args if arg.startswith(_FLAG))
        self._service = next(flags, "").removeprefix(_FLAG)

    def answer(self, request: Object) -> Object:
        """Answer one AdmissionReview."""
        asked = request["request"]
        with Api(self._settings) as api:
            space = api.get(f"/api/v1/namespaces/{asked['namespace']}") or {}
        patch = tap_patch(asked["object"], space, self._service)
        meta = asked["object"]["metadata"]
        name = meta.get("name") or meta.get("generateName", "")
        log("info", f"{'enabled' if patch else 'left'} tap of {asked['namespace']}/{name}")
        return review(request, patch)


if __name__ == "__main__":
    found = Settings.load()
    serve(found, TapInjector(found).answer, lambda: "")
