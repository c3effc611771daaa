"""Prometheus: the real program where there is one, else a stand-in.

Both are given the operator's configuration, changed in how targets are found and reached. Pods have
no addresses on loopback, so each is scraped through the pod proxy of the API server. They come as
lists over HTTP, with the labels of Prometheus' discovery of Kubernetes, which many builds lack.
"""

from __future__ import annotations

import gzip
import json
import shutil
import signal
from collections.abc import Mapping
from urllib.parse import urlsplit

import yaml

from runbook.rehearsal.client import Object
from runbook.rehearsal.images.kinds import Access, Behaviour, Notice, Situation

__all__ = ["Prometheus", "adapted", "is_prometheus"]

_PORT = 9090
_MOUNTED = "/etc/prometheus/config/prometheus.yaml.gz"
_REFRESH = "3s"
"""How often pods are listed; Prometheus passes changes on every 5 s at most in any case."""
_FILE, _CA, _TOKEN = "prometheus.yaml", "ca.crt", "token"


class Prometheus:
    """The container ``prometheus`` of a server that the operator runs."""

    def start(self, situation: Situation) -> Behaviour:
        """Run the server on the operator's configuration."""
        program = shutil.which("prometheus") or ""
        if not program:
            module = "runbook.rehearsal.monitoring.server"
            return Behaviour(module=module, ports=(_PORT,), files=_files, reload=signal.SIGHUP)
        return Behaviour(
            program=program,
            ports=(_PORT,),
            arguments=_arguments,
            env={"GOMAXPROCS": "1"},
            probe="/-/ready",
            files=_files,
            reload=signal.SIGHUP,
        )

    def changed(self, before: Situation, after: Situation) -> Notice | None:
        """Say nothing: the server itself says that it has loaded a configuration."""
        return None


def is_prometheus(container: Object) -> bool:
    """Tell whether a container is a server that the operator runs: it mounts the configuration."""
    mounts = (mount["mountPath"] for mount in container.get("volumeMounts") or [])
    return container["name"] == "prometheus" and _MOUNTED.rpartition("/")[0] in mounts


def adapted(configuration: Object, server: str, pod: str) -> Object:
    """Change the operator's configuration so that it works on loopback.

    Args:
        configuration: As the operator wrote it.
        server: Address of the API server.
        pod: Name of the server's pod, which the config reloader would fill in.
    """
    text = json.dumps(configuration).replace("$(POD_NAME)", pod)
    result: Object = json.loads(text)
    access = {
        "authorization": {"type": "Bearer", "credentials_file": _TOKEN},
        "tls_config": {"ca_file": _CA},
    }
    for job in result.get("scrape_configs") or []:
        job.update(access)
        spaces = [
            name
            for found in job.pop("kubernetes_sd_configs")
            for name in (found.get("namespaces") or {}).get("names") or []
        ]
        url = f"{server}/rehearsal/pods?namespaces={','.join(spaces)}"
        job["http_sd_configs"] = [{"url": url, "refresh_interval": _REFRESH, **access}]
        job["relabel_configs"] = [*job["relabel_configs"], *_detour(urlsplit(server).netloc)]
    return result


def _detour(server: str) -> list[Object]:
    """Make the rules that lead to a target through the API server; they come last.

    Targets without a port are left out: there is nothing to ask the pod proxy for.
    """
    pod = ["__meta_kubernetes_namespace", "__meta_kubernetes_pod_name"]
    path = "/api/v1/namespaces/$1/pods/$2:$3/proxy$4"
    return [
        {"source_labels": ["__address__"], "regex": r".+:\d+", "action": "keep"},
        {
            "source_labels": ["instance", "__address__"],
            "regex": ";(.+)",
            "target_label": "instance",
            "replacement": "$1",
        },
        {
            "source_labels": [*pod, "__address__", "__metrics_path__"],
            "regex": r"(.+);(.+);.+:(\d+);(.+)",
            "target_label": "__metrics_path__",
            "replacement": path,
        },
        {"target_label": "__address__", "replacement": server},
        {"target_label": "__scheme__", "replacement": "https"},
    ]


def _files(situation: Situation, access: Access) -> Mapping[str, bytes]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = gzip.decompress(situation.files[_MOUNTED])
    read = yaml.load(text, loader)  # noqa: S506 - both are safe loaders
    configuration = adapted(read, access.server, situation.pod["metadata"]["name"])
    return {
        _FILE: json.dumps(configuration, indent=1).encode(),  # JSON is YAML
        _CA: access.ca.encode(),
        _TOKEN: access.token.encode(),
    }


def _arguments(places: Mapping[int, int], _: str) -> tuple[str, ...]:
    return (
        f"--config.file=config/{_FILE}",
        f"--web.listen-address=127.0.0.1:{places[_PORT]}",
        "--web.enable-lifecycle",
        "--storage.tsdb.path=data",
        "--storage.tsdb.retention.time=1d",
        "--log.level=warn",
    )
