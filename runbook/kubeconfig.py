"""Which cluster: the kubeconfig, one of its contexts, and what is read from it.

The current context is never used: the parameters name the context, so that a forgotten
``kubectl config use-context`` cannot send a step to another cluster.
"""

from __future__ import annotations

import base64
import difflib
import json
import os
import tempfile
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from runbook.errors import RehearsalError, RunbookError, UsageError
from runbook.imports import quick_jsonschema
from runbook.secrets import Redactor, secret_values
from runbook.yaml12 import problem_of

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

__all__ = ["IN_CLUSTER", "REHEARSAL", "Access", "credentials", "locate", "open_access"]

REHEARSAL = "rehearsal"
IN_CLUSTER = "in-cluster"
"""Name of the cluster a pod runs in, reached with the pod's service account."""
_EXTENSION = "runbook-rehearsal"  # marks a kubeconfig cluster as a rehearsal
_DEFAULT = "~/.kube/config"
_MALFORMED = (yaml.YAMLError, OSError, ValueError, TypeError, LookupError, AttributeError)


@dataclass(frozen=True)
class Access:
    """A way into one cluster.

    Attributes:
        client: Configured client; its representation shows no credential.
        context: Name of the kubeconfig context.
        kubeconfig: Path of the file, or several joined as in ``$KUBECONFIG``.
        rehearsal: Whether the cluster says of itself that it is a rehearsal.
        chart_repository: Its own Helm repository, if it has one.
        dashboards: Where it has Linkerd's dashboards as grafana.com gives them out, if it has.
        headers: Impersonation asked for by the kubeconfig's user entry.
    """

    client: ApiClient = field(repr=False)
    context: str
    kubeconfig: str
    rehearsal: bool = False
    chart_repository: str | None = None
    dashboards: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


def locate(cluster: str, kubeconfig: str) -> str:
    """Give the kubeconfig to use, as a path or several joined as in ``$KUBECONFIG``.

    Raises:
        RehearsalError: The rehearsal cluster is wanted but none is running.
        UsageError: There is no such file.
    """
    if cluster == REHEARSAL and not kubeconfig:
        return _of_rehearsal()
    paths = kubeconfig or os.environ.get("KUBECONFIG", "") or _DEFAULT
    expanded = [str(Path(path).expanduser()) for path in paths.split(os.pathsep) if path]
    existing = [path for path in expanded if Path(path).is_file()]
    if existing:
        return os.pathsep.join(existing)
    asked = "the parameter kubeconfig" if kubeconfig else "$KUBECONFIG"
    named_by = asked if kubeconfig or os.environ.get("KUBECONFIG") else "by default"
    raise UsageError(
        f"there is no kubeconfig at {os.pathsep.join(expanded)}",
        why=f"the path comes from {named_by}" if named_by == asked else "it is the default path",
        fix="set the parameter kubeconfig to the file (on K3s: a copy of "
        "/etc/rancher/k3s/k3s.yaml), or cluster to 'rehearsal'",
    )


def open_access(cluster: str, kubeconfig: str) -> Access:
    """Read the kubeconfig and prepare a client for one context; sends nothing yet.

    Args:
        cluster: ``rehearsal``, ``in-cluster`` or the name of a context. The first two may be
            contexts as well: of a kubeconfig that is given.
        kubeconfig: Path; empty means ``$KUBECONFIG``, then ``~/.kube/config``.

    Raises:
        RehearsalError: The rehearsal cluster is wanted but none is running.
        UsageError: No such file or context, the file is not a kubeconfig, or this is no pod.
    """
    if cluster == IN_CLUSTER and not kubeconfig:
        return _of_pod()
    # Imported late: `runbook --help` does not need it.
    with quick_jsonschema():
        from kubernetes.client import ApiClient, Configuration  # noqa: PLC0415
        from kubernetes.config import ConfigException, kube_config  # noqa: PLC0415

    load: Any = kube_config.load_kube_config  # it has no types
    files = locate(cluster, kubeconfig)
    configuration = Configuration()
    try:
        entries = _entries(files, cluster)
        load(files, cluster, configuration, persist_config=False)
    except (ConfigException, *_MALFORMED) as error:
        raise UsageError(
            f"cannot read the kubeconfig {files}",
            why=f"{type(error).__name__}: {_reason(error)}",
            fix=f"check that `kubectl --kubeconfig {files} --context {cluster} version` works",
        ) from None
    configuration.retries = False
    marks = _extension(entries["cluster"])
    return Access(
        client=ApiClient(configuration),
        context=cluster,
        kubeconfig=files,
        rehearsal=marks is not None,
        chart_repository=(marks or {}).get("chartRepository"),
        dashboards=(marks or {}).get("dashboards"),
        headers=_impersonation(entries["user"]),
    )


def credentials(cluster: str, kubeconfig: str) -> list[str]:
    """Give the secrets of the user of a context, so that they can be kept out of what is shown.

    Args:
        cluster: As for :func:`open_access`.
        kubeconfig: As for :func:`open_access`.

    Returns:
        Tokens, passwords and private keys, in the file and in files it names, keys also as base64;
        nothing if there is no such file or context.
    """
    if cluster == IN_CLUSTER and not kubeconfig:
        from kubernetes.config import incluster_config  # noqa: PLC0415 - see open_access

        return _contents("", incluster_config.SERVICE_TOKEN_FILENAME)
    try:
        files = locate(cluster, kubeconfig)
        user = _entries(files, cluster)["user"]
        found = secret_values(user)
        key = base64.b64decode(str(user.get("client-key-data") or ""))
    except (RunbookError, *_MALFORMED):
        return []
    for name in ("tokenFile", "client-key"):
        found += _contents(files, str(user.get(name) or ""))
    return [*dict.fromkeys([*found, key.decode("utf-8", "replace")] if key else found)]


def _contents(files: str, path: str) -> list[str]:
    """Read a file that a kubeconfig names, relative to itself; nothing if that cannot be done."""
    for directory in [Path(file).parent for file in files.split(os.pathsep)] if path else ():
        try:
            return [(directory / path).read_text(encoding="utf-8").strip()]
        except (OSError, UnicodeDecodeError):
            continue
    return []


def _reason(error: Exception) -> str:
    """Word why a kubeconfig cannot be read without quoting the file, as YAML's messages do."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {problem_of(error)}"
    if isinstance(error, UnicodeDecodeError):
        return "it is not text"
    return Redactor().text(str(error))


def _of_pod() -> Access:
    """Prepare a client with the service account of the pod this process runs in.

    The client reads the token again every minute: the kubelet replaces it before it expires. Helm
    takes nothing but a kubeconfig, so it gets one that names the same files and holds no secret.

    Raises:
        UsageError: This is no pod, or its service account is not mounted.
    """
    with quick_jsonschema():
        from kubernetes.client import ApiClient, Configuration  # noqa: PLC0415
        from kubernetes.config import ConfigException, incluster_config  # noqa: PLC0415

    load: Any = incluster_config.load_incluster_config  # it has no types
    configuration = Configuration()
    try:
        load(configuration)
    except (ConfigException, OSError) as error:
        raise UsageError(
            "there is no service account to use: this does not run in a pod",
            why=f"the parameter cluster is {IN_CLUSTER!r}; {error}",
            fix="in a pod, set automountServiceAccountToken: true; elsewhere, name a context of "
            "your kubeconfig in the parameter cluster",
        ) from None
    configuration.retries = False
    client = ApiClient(configuration)
    cluster = {
        "server": configuration.host,
        "certificate-authority": incluster_config.SERVICE_CERT_FILENAME,
    }
    user = {"tokenFile": incluster_config.SERVICE_TOKEN_FILENAME}
    path = _write(cluster, user)
    weakref.finalize(client, _remove, path, os.getpid())
    return Access(client=client, context=IN_CLUSTER, kubeconfig=str(path))


def _write(cluster: dict[str, Any], user: dict[str, Any]) -> Path:
    """Write a kubeconfig of one context into a new private file."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": IN_CLUSTER, "cluster": cluster}],
        "users": [{"name": IN_CLUSTER, "user": user}],
        "contexts": [{"name": IN_CLUSTER, "context": {"cluster": IN_CLUSTER, "user": IN_CLUSTER}}],
    }
    handle, name = tempfile.mkstemp(prefix="runbook-", suffix=".kubeconfig")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(config, file)
    return Path(name)


def _remove(path: Path, owner: int) -> None:
    if os.getpid() == owner:  # not from a process forked meanwhile
        path.unlink(missing_ok=True)


def _of_rehearsal() -> str:
    from runbook.rehearsal import active  # noqa: PLC0415 - only when a rehearsal is wanted

    path = active()
    if path is None:
        raise RehearsalError(
            "no rehearsal cluster is running",
            why="the parameter cluster is 'rehearsal', its default",
            fix="start one with `runbook rehearsal up`, or name a context of your kubeconfig "
            "in the parameter cluster",
        )
    return str(path)


def _entries(files: str, context: str) -> dict[str, dict[str, Any]]:
    """Find a context's cluster and user entries; the first file that has a name wins.

    Raises:
        UsageError: There is no such context; the message lists those there are.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {"cluster": {}, "user": {}, "context": {}}
    for path in files.split(os.pathsep):
        config = yaml.safe_load(Path(path).read_text("utf-8")) or {}
        for kind, entries in found.items():
            for item in config.get(f"{kind}s") or []:
                entries.setdefault(str(item["name"]), item.get(kind) or {})
    contexts = found["context"]
    if context not in contexts:
        near = difflib.get_close_matches(context, contexts, n=1)
        known = ", ".join(sorted(contexts)) or "none"
        raise UsageError(
            f"the kubeconfig {files} has no context {context!r}",
            why=f"its contexts are: {known}",
            fix=f"did you mean {near[0]}?" if near else "set the parameter cluster to one of them",
        )
    entry = contexts[context]
    return {
        "cluster": found["cluster"].get(entry.get("cluster", ""), {}),
        "user": found["user"].get(entry.get("user", ""), {}),
    }


def _extension(cluster: dict[str, Any]) -> dict[str, Any] | None:
    """Find the mark of a rehearsal among a kubeconfig cluster's extensions."""
    for item in cluster.get("extensions") or []:
        if item.get("name") == _EXTENSION:
            return dict(item.get("extension") or {})
    return None


def _impersonation(user: dict[str, Any]) -> dict[str, str]:
    """Honour ``as`` of a kubeconfig user, which the Python client leaves out and kubectl knows."""
    name = user.get("as")
    return {"Impersonate-User": str(name)} if name else {}
