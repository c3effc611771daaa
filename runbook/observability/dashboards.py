"""Linkerd's Grafana dashboards as ConfigMaps that Grafana's sidecar picks up (seed, Viz step 6).

They come from grafana.com, by the ids and revisions that Linkerd publishes (linkerd2
``grafana/values.yaml``), from another server with its layout, or from a local directory, for a
cluster without a way out.
"""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from runbook.checks import Context, Outcome
from runbook.errors import ParameterError, RunbookError, UnreachableError
from runbook.fields import words
from runbook.linkerd.outcomes import Object, few, judge
from runbook.observability.sidecar import Sidecar, find_sidecar

__all__ = ["PUBLISHED", "Dashboard", "dashboard_maps", "dashboards_to_be_had", "load"]

GRAFANA_COM = "https://grafana.com"
_SECONDS = 20.0
_LARGEST = 1_000_000  # bytes: what a ConfigMap holds (1 MiB) with some room for the object
_INPUT = "DS_PROMETHEUS"


@dataclass(frozen=True)
class Published:
    """Where grafana.com has a dashboard.

    Attributes:
        id: Its number.
        revision: Its revision.
    """

    id: int
    revision: int


PUBLISHED: Mapping[str, Published] = {
    "top-line": Published(15474, 4),
    "deployment": Published(15475, 6),
    "pod": Published(15477, 3),
    "namespace": Published(15478, 3),
    "kubernetes": Published(15479, 2),
    "service": Published(15480, 3),
    "route": Published(15481, 3),
    "authority": Published(15482, 3),
    "cronjob": Published(15483, 3),
    "daemonset": Published(15484, 3),
    "health": Published(15486, 3),
    "job": Published(15487, 3),
    "multicluster": Published(15488, 3),
    "prometheus": Published(15489, 2),
    "prometheus-benchmark": Published(15490, 2),
    "replicaset": Published(15491, 3),
    "replicationcontroller": Published(15492, 4),
    "statefulset": Published(15493, 3),
}
"""Linkerd's dashboards, as its ``grafana/values.yaml`` names them."""


@dataclass(frozen=True)
class Dashboard:
    """One dashboard, as Grafana can provision it.

    Attributes:
        name: Linkerd's name for it.
        uid: Its uid.
        title: Its title.
        text: Its JSON.
    """

    name: str
    uid: str
    title: str
    text: str


def load(context: Context) -> list[Dashboard]:
    """Read the dashboards that ``dashboards`` names.

    Raises:
        ParameterError: There is none of a name, or a file is missing or no dashboard.
        UnreachableError: Their server does not answer.
    """
    source = context.params.dashboard_source or context.cluster.dashboards or GRAFANA_COM
    remote = source.startswith(("http://", "https://"))
    found = []
    for name in words(context.params.dashboards):
        if remote:
            text = _downloaded(source.rstrip("/"), name)
        else:
            text = _read(Path(source).expanduser() / f"{name}.json")
        found.append(_dashboard(name, text))
    return found


def dashboard_maps(context: Context) -> list[Object]:
    """Give a ConfigMap for each dashboard, with the label the sidecar looks for.

    Raises:
        ParameterError: As :func:`load` says.
        UnreachableError: Likewise.
    """
    sidecar = find_sidecar(context) or Sidecar()
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": f"linkerd-dashboard-{one.name}",
                "namespace": context.params.monitoring_namespace,
                "labels": {sidecar.label: sidecar.value, "app.kubernetes.io/part-of": "Linkerd"},
                **({"annotations": {sidecar.folder: "Linkerd"}} if sidecar.folder else {}),
            },
            "data": {f"linkerd-{one.name}.json": one.text},
        }
        for one in load(context)
    ]


def dashboards_to_be_had(context: Context) -> Iterator[Outcome]:
    """The dashboards are to be had, and no two share a uid."""
    title = "the dashboards are to be had"
    try:
        found = load(context)
    except RunbookError as error:
        yield judge(
            "dashboards-source",
            title,
            False,
            expected=context.params.dashboards,
            seen=error.what,
            why=error.why,
            fix=error.fix,
            see="https://grafana.com/orgs/linkerd/dashboards",
        )
        return
    uids = [one.uid for one in found]
    twice = sorted({uid for uid in uids if uids.count(uid) > 1})
    yield judge(
        "dashboards-source",
        title,
        not twice,
        expected="each with a uid of its own",
        seen=f"the same uid: {few(twice)}" if twice else few(one.title for one in found),
        why="Grafana provisions one of those with the same uid, and then none of them reliably",
        fix="leave one of them out of the parameter dashboards",
    )


@functools.cache  # a revision never changes, and looking and planning both need them
def _downloaded(source: str, name: str) -> str:
    published = PUBLISHED.get(name)
    if published is None:
        near = difflib.get_close_matches(name, PUBLISHED, n=1)
        raise ParameterError(
            f"Linkerd publishes no dashboard {name!r}",
            why=f"there are {', '.join(PUBLISHED)}",
            fix=f"did you mean {near[0]}?" if near else "correct the parameter dashboards",
        )
    url = f"{source}/api/dashboards/{published.id}/revisions/{published.revision}/download"
    offline = "or give dashboard_source, a directory with the files NAME.json"
    try:
        answer = urllib3.request("GET", url, timeout=_SECONDS, retries=urllib3.Retry(2))
    except urllib3.exceptions.HTTPError as error:
        raise UnreachableError(
            f"cannot download the dashboard {name}",
            why=f"{source} does not answer ({type(error).__name__})",
            fix=f"check the network of this machine, {offline}",
        ) from None
    if answer.status != 200:
        raise UnreachableError(
            f"cannot download the dashboard {name}",
            why=f"{url} answers {answer.status}",
            fix=f"try again, {offline}",
        )
    return answer.data.decode("utf-8", errors="replace")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        there = sorted(p.stem for p in path.parent.glob("*.json")) if path.parent.is_dir() else []
        raise ParameterError(
            f"cannot read the dashboard {path.name}",
            why=f"the directory holds {few(there, 8)}" if there else f"{type(error).__name__}",
            fix="correct dashboard_source or dashboards",
        ) from None


def _dashboard(name: str, text: str) -> Dashboard:
    """Make what grafana.com gives out fit for provisioning.

    A download asks for its data source (``__inputs``), which only the import form of Grafana fills
    in; a provisioned file with ``${DS_PROMETHEUS}`` in it would show no data. ``null`` means
    Grafana's default data source. An ``id`` would clash with those of this Grafana.

    Raises:
        ParameterError: It is no dashboard, or too large for a ConfigMap.
    """
    try:
        data: Any = json.loads(text)
        title, inputs = data["title"], data.get("__inputs") or []
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ParameterError(
            f"what was read for {name} is no dashboard of Grafana",
            why="a JSON object with a title was expected",
            fix="correct dashboard_source: an export of Grafana's, or grafana.com's download",
        ) from None
    names = {f"${{{one.get('name', _INPUT)}}}" for one in inputs}
    body = {key: value for key, value in data.items() if key not in ("__inputs", "__requires")}
    body = _without_inputs({**body, "id": None}, names)
    made = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    if len(made.encode()) > _LARGEST:
        raise ParameterError(
            f"the dashboard {name} is too large for a ConfigMap",
            why=f"it has {len(made.encode())} bytes; a ConfigMap holds 1 MiB",
            fix="leave it out of dashboards, or import it by hand",
        )
    return Dashboard(name, str(data.get("uid") or f"linkerd-{name}"), str(title), made)


def _without_inputs(value: Any, names: set[str]) -> Any:
    if isinstance(value, dict):
        if value.get("uid") in names and value.keys() <= {"type", "uid"}:
            return None  # a reference to a data source, as exports have it since Grafana 8.3
        return {key: _without_inputs(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_inputs(item, names) for item in value]
    return None if isinstance(value, str) and value in names else value
