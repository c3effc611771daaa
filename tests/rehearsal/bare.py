"""A bare API server and plain HTTP to it, for the tests of its parts."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from runbook.rehearsal import Twin

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


@dataclass
class Answer:
    """One HTTP answer."""

    status: int
    headers: http.client.HTTPMessage
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    @property
    def message(self) -> str:
        return str(self.body["message"])

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.raw.splitlines()]


class Api:
    """Sends requests to a twin, as its administrator unless told otherwise."""

    def __init__(self, twin: Twin) -> None:
        self.twin = twin
        config = json.loads(twin.kubeconfig.read_text())
        self.token = config["users"][0]["user"]["token"]
        self.tls = ssl.create_default_context(cafile=str(twin.directory / "tls" / "ca.crt"))

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        kind: str = "application/json",
        **headers: str,
    ) -> Answer:
        with self.open(method, path, body, kind, **headers) as answer:
            return Answer(answer.status, answer.headers, answer.read())

    @contextmanager
    def open(
        self,
        method: str,
        path: str,
        body: Any = None,
        kind: str = "application/json",
        **headers: str,
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request and give the open answer, to be read piece by piece."""
        sent = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            sent["Content-Type"] = kind
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        address = urlsplit(self.twin.url).netloc
        connection = http.client.HTTPSConnection(address, context=self.tls, timeout=30)
        try:
            connection.request(method, path, body, {k: v for k, v in sent.items() if v})
            yield connection.getresponse()
        finally:
            connection.close()


def config_map(name: str, **fields: Any) -> dict[str, Any]:
    """Write a ConfigMap."""
    metadata = {"name": name, **fields.pop("metadata", {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **fields}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    """Write a pod of one container."""
    spec = {"containers": [{"name": "c", "image": "x"}], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
