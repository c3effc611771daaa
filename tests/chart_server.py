"""Small charts, packed and served as a Helm repository on loopback."""

from __future__ import annotations

import base64
import functools
import gzip
import http.server
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import helm_python
import yaml

from runbook.cluster import Cluster
from runbook.helm import record_name
from runbook.holder import LABEL

MAP = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
data:
  colour: {{ .Values.colour | quote }}
  server: {{ .Capabilities.KubeVersion.Version | quote }}
"""
ACCOUNT = """
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .Release.Name }}
"""
GENERATED = """
{{- $ca := genCA "demo" 365 }}
apiVersion: v1
kind: Secret
metadata:
  name: {{ .Release.Name }}-tls
data:
  ca.crt: {{ $ca.Cert | b64enc }}
  ca.key: {{ $ca.Key | b64enc }}
"""
SERVER = """
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata:
  name: {{ .Release.Name }}
"""


def write(
    directory: Path,
    *,
    version: str = "1.0.0",
    kube: str = ">=1.31.0-0",
    templates: Mapping[str, str] | None = None,
) -> Path:
    """Write a chart named ``demo`` as a directory."""
    chart = directory / "demo"
    (chart / "templates").mkdir(parents=True)
    meta = {"apiVersion": "v2", "name": "demo", "version": version, "appVersion": "26.6"}
    (chart / "Chart.yaml").write_text(yaml.safe_dump(meta | {"kubeVersion": kube}))
    (chart / "values.yaml").write_text('colour: green\npassword: ""\n')
    for name, text in (templates or {"map": MAP, "account": ACCOUNT}).items():
        (chart / "templates" / f"{name}.yaml").write_text(text)
    return chart


@contextmanager
def served(directory: Path, *charts: Path) -> Iterator[str]:
    """Serve charts as a Helm repository; gives its address."""
    directory.mkdir()
    for chart in charts:
        helm_python.package(chart, destination=directory)
    helm_python.repo_index_generate(directory)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    handler = functools.partial(Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def leave(
    cluster: Cluster, name: str, namespace: str, revision: int, status: str, holder: str
) -> None:
    """Make a stored revision look as a killed Helm leaves it: pending, held by somebody."""
    record = cluster.get("v1", "Secret", record_name(name, revision), namespace)
    stored = json.loads(
        gzip.decompress(base64.b64decode(base64.b64decode(record["data"]["release"])))
    )
    stored["info"]["status"] = status
    packed = gzip.compress(json.dumps(stored).encode())
    encoded = base64.b64encode(base64.b64encode(packed)).decode()
    labels = {**record["metadata"]["labels"], "status": status, LABEL: holder}
    meta = {"name": record["metadata"]["name"], "namespace": namespace, "labels": labels}
    cluster.delete("v1", "Secret", record["metadata"]["name"], namespace)
    cluster.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": record["type"],
            "metadata": meta,
            "data": {"release": encoded},
        }
    )
