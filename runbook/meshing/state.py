"""After a change: every proxy ready, with a certificate, seen to carry mTLS, and not restarted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runbook.checks import Context, Outcome
from runbook.errors import RunbookError
from runbook.linkerd.metrics import PORT, samples
from runbook.linkerd.outcomes import Object, few, judge
from runbook.linkerd.pods import PROXY, containers, has_proxy, name, problem, ready
from runbook.meshing.forecast import Fate, fates
from runbook.meshing.injector import read_injector
from runbook.meshing.workloads import KINDS, Workload

__all__ = ["Find", "live_fates", "meshed", "restart_command"]

Find = Callable[[Context], Sequence[Workload]]
"""Reads the workloads concerned, as they are now."""

_SAMPLE = 10  # proxies whose metrics are read; each is a request
_TURN = 2.0  # seconds between two looks
_EXPIRY = (  # renamed in 2.16 (linkerd/app/src/lib.rs of linkerd2-proxy)
    "control_identity_cert_expiration_timestamp_seconds",
    "identity_cert_expiration_timestamp_seconds",
)
_REQUESTS, _OPENED = "request_total", "tcp_open_total"
SEE = "https://linkerd.io/2-edge/features/proxy-injection/"
_SEE_MTLS = "https://linkerd.io/2-edge/tasks/validating-your-traffic/"


@dataclass(frozen=True)
class _Told:
    """What a proxy says of itself."""

    expires: float | None
    secured: float
    plain: float


def live_fates(context: Context, found: Sequence[Workload]) -> list[Fate]:
    """Say of every pod of some workloads what it is and what it would be if it were made now."""
    injector = read_injector(context)
    result: list[Fate] = []
    for space in dict.fromkeys(one.namespace for one in found):
        home = context.cluster.find("v1", "Namespace", space)
        if home is not None:
            members = (one for one in found if one.namespace == space)
            result.extend(fates(context, members, home, injector))
    return result


def meshed(
    context: Context,
    find: Find,
    *,
    replaced: bool = False,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Outcome]:
    """Compare what runs with what was asked for.

    In the mode ``apply`` pods are given the parameter ``timeout`` to become ready.

    Args:
        context: The cluster.
        find: Reads the workloads concerned.
        replaced: Whether pods that run as they were before are being replaced, and waited for.
        pause: Waits; given in tests.
        clock: Tells the time; given in tests.
    """
    deadline = clock() + context.params.timeout
    found = [fate for fate in live_fates(context, find(context)) if _counts(fate)]
    waiting = context.params.mode == "apply"
    while waiting and _unsettled(found, replaced=replaced) and clock() < deadline:
        pause(_TURN)
        found = [fate for fate in live_fates(context, find(context)) if _counts(fate)]
    yield _ready(found)
    yield _outside(found)
    proxies = [fate for fate in found if has_proxy(_pod(fate)) and ready(_pod(fate))]
    told = {f"{one.workload.namespace}/{one.pod}": _ask(context, one) for one in proxies[:_SAMPLE]}
    yield _identity(context, told, len(proxies))
    yield _mtls(told)
    yield _restarts(found)


def restart_command(workload: Workload) -> str:
    """Give the command that replaces a workload's pods."""
    scope = f"kubectl -n {workload.namespace}"
    if workload.kind in ("Deployment", "DaemonSet", "StatefulSet"):
        return f"{scope} rollout restart {workload.title}"
    if workload.kind in ("Pod", *KINDS):
        return f"{scope} delete {workload.title}, and create it again"
    return f"by {workload.title}, which made it"


def _counts(fate: Fate) -> bool:
    return bool(fate.pod) and not fate.over and not _ending(_pod(fate))


def _ending(pod: Mapping[str, Any]) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _pod(fate: Fate) -> Object:
    return next(pod for pod in fate.workload.pods if name(pod) == fate.pod)


def _unsettled(found: Sequence[Fate], *, replaced: bool) -> bool:
    """Tell whether a proxy may still become ready, or a pod may still be replaced."""
    starting = any(has_proxy(_pod(fate)) and not _proxy_ready(_pod(fate)) for fate in found)
    return starting or (replaced and any(not f.current and f.workload.kind in KINDS for f in found))


def _proxy_ready(pod: Object) -> bool:
    return any(spec["name"] == PROXY and status.get("ready") for spec, status, _ in containers(pod))


def _ready(found: Sequence[Fate]) -> Outcome:
    asked = [fate for fate in found if fate.decision.meshed]
    stale = [fate for fate in asked if not fate.current]
    broken = [fate for fate in asked if has_proxy(_pod(fate)) and not _proxy_ready(_pod(fate))]
    modes = few(f"{n} {mode}" for mode, n in _counted(fate.now for fate in asked).items())
    title = "every pod that asks for the proxy has a ready one"
    if not asked:
        return judge("proxies", title, "skip", seen="no pod asks for it")
    if broken:
        seen = few(problem(_pod(fate)) or f"{fate.pod}: {PROXY} is not ready" for fate in broken)
        return judge(
            "proxies",
            title,
            False,
            expected=f"{len(asked)} of {len(asked)}",
            seen=seen,
            why="it cannot reach the control plane, or has not got its certificate",
            fix=f"kubectl -n {broken[0].workload.namespace} logs {broken[0].pod} -c {PROXY}",
            see=SEE,
        )
    commands = dict.fromkeys(restart_command(fate.workload) for fate in stale)
    return judge(
        "proxies",
        title,
        "warn" if stale else "pass",
        expected=f"{len(asked)} of {len(asked)}",
        seen=f"{len(stale)} of {len(asked)} run as they were before: "
        + few(f"{fate.pod} ({fate.now})" for fate in stale)
        if stale
        else modes,
        why="a pod stays as it was made until it is replaced",
        fix="; ".join(list(commands)[:5]),
        see=SEE,
    )


def _outside(found: Sequence[Fate]) -> Outcome:
    others = [fate for fate in found if not fate.decision.meshed]
    wrong = [fate for fate in others if not fate.current]
    reasons = _counted(fate.decision.why for fate in others)
    title = "no other pod has a proxy"
    if not others:
        return judge("outside", title, "skip", seen="every pod asks for it")
    return judge(
        "outside",
        title,
        "warn" if wrong else "pass",
        expected="none",
        seen=few(fate.pod for fate in wrong)
        if wrong
        else "; ".join(f"{n} outside: {why}" for why, n in reasons.items()),
        why="they were meshed before the annotation was taken away, and stay so until replaced",
        fix="; ".join(dict.fromkeys(restart_command(fate.workload) for fate in wrong[:5])),
    )


def _identity(context: Context, told: Mapping[str, _Told | str], proxies: int) -> Outcome:
    """Judge whether the proxies asked have a certificate."""
    title = "their proxies have a certificate"
    if not told:
        return judge("identity", title, "skip", seen="no proxy is ready")
    now = context.cluster.now().timestamp()
    silent = [f"{pod}: {one}" for pod, one in told.items() if isinstance(one, str)]
    known = {pod: one for pod, one in told.items() if isinstance(one, _Told)}
    without = [pod for pod, one in known.items() if one.expires is None or one.expires <= now]
    ends = [one.expires - now for one in known.values() if one.expires is not None]
    part = f"{len(known)} of {proxies} asked" if len(known) < proxies else f"all {proxies}"
    return judge(
        "identity",
        title,
        "fail" if without else "warn" if silent else "pass",
        expected="a certificate with time left",
        seen=f"none, or over: {few(without)}"
        if without
        else few(silent)
        if silent
        else f"{part}; the first ends in {min(ends) / 3600:.1f} h",
        why="the identity controller refused it, or could not be reached"
        if without
        else "the metrics of its proxy could not be read",
        fix="kubectl -n linkerd logs deploy/linkerd-identity -c identity",
        see="https://linkerd.io/2-edge/features/automatic-mtls/",
    )


def _mtls(told: Mapping[str, _Told | str]) -> Outcome:
    known = [one for one in told.values() if isinstance(one, _Told)]
    secured, plain = sum(one.secured for one in known), sum(one.plain for one in known)
    beside = f"; {plain:.0f} came without, as probes and clients outside the mesh do"
    return judge(
        "mtls",
        "requests come in over mTLS",
        "pass" if secured else "skip",
        expected="requests or connections over mTLS",
        seen=f"{secured:.0f} over mTLS" + (beside if plain else "")
        if secured
        else "none yet: only meshed clients send any" + (beside if plain else ""),
        see=_SEE_MTLS,
    )


def _restarts(found: Sequence[Fate]) -> Outcome:
    title = "no proxy has restarted"
    again = []
    for fate in found:
        for spec, status, _ in containers(_pod(fate)):
            if spec["name"] == PROXY and status.get("restartCount"):
                last = (status.get("lastState") or {}).get("terminated") or {}
                why = last.get("message") or last.get("reason") or "no reason told"
                again.append(f"{fate.pod}: {status['restartCount']} times, last: {why}")
    return judge(
        "proxy-restarts",
        title,
        "warn" if again else "pass",
        expected="0 restarts",
        seen=few(again) or "0 restarts",
        why="out of memory (proxy-memory-limit), or its probe failed",
        fix="kubectl describe pod, and kubectl logs --previous -c linkerd-proxy",
    )


def _ask(context: Context, fate: Fate) -> _Told | str:
    """Read what a proxy says of itself; a text if that fails."""
    space = fate.workload.namespace
    path = f"/api/v1/namespaces/{space}/pods/{fate.pod}:{PORT}/proxy/metrics"
    try:
        text = context.cluster.read(path)
    except RunbookError as error:
        return error.what
    return _read(text if isinstance(text, str) else "")


def _read(text: str) -> _Told:
    expires: float | None = None
    secured = plain = 0.0
    for metric, labels, value in samples(text, {*_EXPIRY, _REQUESTS, _OPENED}):
        if metric in _EXPIRY:
            expires = value
        elif labels.get("direction") != "inbound" or labels.get("peer", "src") != "src":
            continue
        elif labels.get("tls") == "true":
            secured += value
        elif metric == _REQUESTS:
            plain += value
    return _Told(expires, secured, plain)


def _counted(words: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for word in words:
        found[word] = found.get(word, 0) + 1
    return found
