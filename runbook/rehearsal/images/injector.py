"""The proxy-injector webhook as a process of its own."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import yaml

from runbook.rehearsal.images.injection import Injection, pod_injection, service_patch
from runbook.rehearsal.images.serving import Api, Settings, log, review, serve

__all__ = ["Injector"]

Object = dict[str, Any]

_VALUES = "/var/run/linkerd/config/values"
_ROOTS = "/var/run/linkerd/identity/trust-roots/ca-bundle.crt"
_GROUPS = {
    "ReplicaSet": "apis/apps/v1",
    "Deployment": "apis/apps/v1",
    "StatefulSet": "apis/apps/v1",
    "DaemonSet": "apis/apps/v1",
    "Job": "apis/batch/v1",
    "CronJob": "apis/batch/v1",
}


class Injector:
    """Answer admission reviews of pods and Services.

    Args:
        settings: What the kubelet handed over.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._lock = threading.Lock()

    def answer(self, request: Object) -> Object:
        """Answer one AdmissionReview."""
        asked = request["request"]
        obj, namespace = asked["object"], asked["namespace"]
        values = self._values()
        with Api(self._settings) as api:
            space = api.get(f"/api/v1/namespaces/{namespace}") or {"metadata": {}}
            if asked["kind"]["kind"] == "Service":
                return review(request, service_patch(obj, space, values))
            obj["metadata"].setdefault("namespace", namespace)
            owner, parent = self._owner(api, obj, namespace)
            anchors = self._settings.path(_ROOTS).read_text()
            version = str(values.get("linkerdVersion", ""))
            control = self._settings.namespace
            injection = pod_injection(
                obj,
                space,
                values,
                anchors=anchors,
                owner=owner,
                control_namespace=control,
                created_by=version,
            )
            self._report(api, obj, owner, parent, injection, dry=bool(asked.get("dryRun")))
        return review(request, injection.patch)

    def metrics(self) -> str:
        """Give the counters in Prometheus' text format."""
        name = "proxy_inject_admission_responses_total"
        lines = [f"# TYPE {name} counter"]
        with self._lock:
            for (namespace, skip, reason), count in sorted(self._counts.items()):
                labels = f'namespace="{namespace}",skip="{skip}",skip_reason="{reason}"'
                lines.append(f"{name}{{{labels}}} {count}")
        return "\n".join(lines) + "\n"

    def _values(self) -> Object:
        text = self._settings.path(_VALUES).read_text()
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        values: Object = yaml.load(text, Loader=loader)  # noqa: S506  # a safe loader, in C if there is one
        return values

    def _owner(
        self, api: Api, pod: Object, namespace: str
    ) -> tuple[tuple[str, str], Object | None]:
        """Follow the owner references up to the workload a user knows."""
        kind, name = "Pod", pod["metadata"].get("name") or pod["metadata"].get("generateName", "")
        found: Object | None = None
        obj = pod
        while True:
            owners = obj["metadata"].get("ownerReferences") or []
            if len(owners) != 1 or owners[0]["kind"] not in _GROUPS:
                return (kind, name), found
            kind, name = owners[0]["kind"], owners[0]["name"]
            path = f"/{_GROUPS[kind]}/namespaces/{namespace}/{kind.lower()}s/{name}"
            parent = api.get(path)
            if parent is None:
                return (kind, name), found
            obj = found = parent

    def _report(
        self,
        api: Api,
        pod: Object,
        owner: tuple[str, str],
        parent: Object | None,
        injection: Injection,
        *,
        dry: bool,
    ) -> None:
        meta = pod["metadata"]
        shown = f"{owner[0].lower()}/{owner[1]}"
        namespace = meta["namespace"]
        skipped = bool(injection.reasons)
        with self._lock:
            self._counts[(namespace, str(skipped).lower(), ",".join(injection.reasons))] += 1
        if skipped:
            log("info", f"skipped {shown}: {injection.text}")
            reason = "InjectionSkipped"
            text = f"Linkerd sidecar proxy injection skipped: {injection.text}"
        else:
            log("info", f"injection patch generated for: {shown}")
            reason, text = "Injected", "Linkerd sidecar proxy injected"
        if parent is None or dry:
            return
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        event = {
            "metadata": {"name": f"{owner[1]}.{time.time_ns():x}", "namespace": namespace},
            "type": "Normal",
            "reason": reason,
            "message": text,
            "count": 1,
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "source": {"component": "linkerd-proxy-injector"},
            "reportingComponent": "linkerd-proxy-injector",
            "involvedObject": {
                "apiVersion": _GROUPS[owner[0]].removeprefix("apis/"),
                "kind": owner[0],
                "namespace": namespace,
                "name": owner[1],
                "uid": parent["metadata"]["uid"],
            },
        }
        api.post(f"/api/v1/namespaces/{namespace}/events", event)


if __name__ == "__main__":
    found = Settings.load()
    injector = Injector(found)
    serve(found, injector.answer, injector.metrics)
