"""The pod that runs a batch: not root, nothing writable but its own, small enough for a Pi."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from runbook.export.work import KUBECONFIG, NAME, Setup, Work

__all__ = ["GRACE", "container", "metadata", "security", "volumes"]

GRACE = 120
"""Seconds a run has to write its record, and to copy it, when its pod is ended."""

Object = dict[str, Any]

_RECORDS = "/records"
_PARAMETERS = "/parameters"
_WRITABLE = {"home": "/home/runbook", "tmp": "/tmp"}  # noqa: S108 - of the pod alone
_USER = 1000  # any that is not root
_RESOURCES = {  # a batch was seen to take 250 MiB at most and, while Helm renders, a core
    "requests": {"cpu": "250m", "memory": "384Mi"},
    "limits": {"memory": "1Gi"},
}
_COPY = f"""\
run= ended=
trap '[ "$run" ] && kill -TERM "$run" 2>/dev/null || ended=1' TERM INT
runbook run "$@" & run=$!
[ ! "$ended" ] || kill -TERM "$run"
wait "$run"; status=$?
while kill -0 "$run" 2>/dev/null; do wait "$run"; status=$?; done
runbook records export last "$COPY_TO" --output {_RECORDS} || [ "$status" -ne 0 ] || status=4
exit "$status"
"""
"""Runs the batch, then copies its record; a copy that fails is a failure of its own.

The trap stands before the run begins: a signal that comes before ``$!`` is known is passed on as
soon as it is. A signal ends the shell's ``wait`` early, so it waits again for as long as the run is
there.
"""


def metadata(work: Work) -> Object:
    """Give labels and annotations of the pod."""
    return {
        "labels": {"app.kubernetes.io/name": NAME, "app.kubernetes.io/instance": work.name},
        "annotations": {"linkerd.io/inject": "disabled"},  # a proxy would not let the pod end
    }


def security() -> Object:
    """Give the pod's security context: that of the restricted Pod Security Standard."""
    return {
        "runAsNonRoot": True,
        "runAsUser": _USER,
        "runAsGroup": _USER,
        "fsGroup": _USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container(work: Work, setup: Setup) -> Object:
    """Give the container, without its name."""
    run = [f"--file={_PARAMETERS}/{work.name}.yaml", f"--output={_RECORDS}", *setup.options]
    environment = {"HOME": _WRITABLE["home"], "PYTHONDONTWRITEBYTECODE": "1"}
    command = ["runbook", "run"]
    if setup.copy_to:
        environment["COPY_TO"] = setup.copy_to
        command = ["sh", "-c", _COPY, "runbook"]
    made: Object = {
        "image": setup.image,
        "command": command,
        "args": run,
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "resources": _RESOURCES,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": _mounts(work),
    }
    if setup.environment_secret:
        made["envFrom"] = [{"secretRef": {"name": setup.environment_secret}}]
    return made


def volumes(work: Work, setup: Setup) -> list[Object]:
    """Give the volumes of the pod."""
    records: Object = {"emptyDir": {}}
    if setup.claim:
        records = {"persistentVolumeClaim": {"claimName": setup.claim}}
    found = [{"name": name, "emptyDir": {}} for name in _WRITABLE]
    found += [
        {"name": "parameters", "configMap": {"name": NAME}},
        {"name": "records", **records},
    ]
    if work.by_kubeconfig:
        found.append({"name": "kubeconfig", "secret": {"secretName": setup.kubeconfig_secret}})
    return found


def _mounts(work: Work) -> list[Object]:
    found: list[Object] = [{"name": n, "mountPath": path} for n, path in _WRITABLE.items()]
    found += [
        {"name": "parameters", "mountPath": _PARAMETERS, "readOnly": True},
        {"name": "records", "mountPath": _RECORDS},
    ]
    if work.by_kubeconfig:
        directory = str(PurePosixPath(KUBECONFIG).parent)
        found.append({"name": "kubeconfig", "mountPath": directory, "readOnly": True})
    return found
