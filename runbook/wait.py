"""Waiting for objects to become ready, and giving up at once when they cannot.

A wait watches the object it waits for and, once a second, looks at what tells of failure: the
pods of a workload, the issuer of a certificate. A crash loop, an image that cannot be pulled, a
pod that fits no node or a refused certificate ends it with the reason; a timeout says what was
last seen. Several objects are waited for together: the failure of any ends the wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from runbook import symptoms
from runbook.errors import ApiError, ForbiddenError, NotFoundError, UnreachableError, WaitError
from runbook.progress import Progress, progress
from runbook.readiness import Readiness, describe, readiness
from runbook.symptoms import Symptom

__all__ = ["Clock", "Reader", "Waited", "wait_for", "wait_until"]

Object = dict[str, Any]

_TURN = 1.0  # seconds between two looks at what tells of failure
_PASSING = {429, 500, 503, 504}  # answers of an API server that is busy or starting
_OUTAGE = 60.0  # seconds the API server may be away, such as while K3s restarts


class Reader(symptoms.Reader, Protocol):
    """What a wait needs of a cluster."""

    def snapshot(
        self, api_version: str, kind: str, namespace: str = "", *, fields: str = ""
    ) -> tuple[list[Object], str]:
        """Read objects with the version a watch can go on from."""

    def watch(
        self,
        api_version: str,
        kind: str,
        namespace: str = "",
        *,
        fields: str = "",
        since: str,
        seconds: float,
    ) -> AbstractContextManager[Iterator[Object]]:
        """Open a watch."""


class Clock:
    """Time as a wait sees it; another one is given in tests."""

    def now(self) -> float:
        """Give seconds that only go forward."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)


@dataclass(frozen=True)
class Waited:
    """An object that became ready, and how long it took in seconds."""

    kind: str
    name: str
    namespace: str
    seconds: float
    seen: str


@dataclass
class _Target:
    """One object being waited for."""

    api_version: str
    kind: str
    name: str
    namespace: str
    ready: Readiness
    last: Object | None = None
    since: str = ""  # resourceVersion to watch on from
    first_seen: dict[str, float] = field(default_factory=dict)  # symptom -> when it appeared

    @property
    def title(self) -> str:
        path = "/".join(part for part in (self.namespace, self.name) if part)
        return f"{self.kind} {path}"

    def seen(self) -> str:
        return self.ready.seen(self.last) if self.last else "it does not exist"


def wait_for(
    cluster: Reader,
    objects: Sequence[Mapping[str, Any]],
    timeout: float,
    *,
    clock: Clock | None = None,
) -> list[Waited]:
    """Wait until every object is ready in the sense of its kind.

    Args:
        cluster: Where they are.
        objects: Manifests; only ``apiVersion``, ``kind``, name and namespace are looked at.
        timeout: Seconds for all of them together.
        clock: Given in tests.

    Raises:
        WaitError: One of them failed, or the time is over.
    """
    targets = [
        _Target(
            obj["apiVersion"],
            obj["kind"],
            obj["metadata"]["name"],
            obj["metadata"].get("namespace", ""),
            readiness(obj["apiVersion"], obj["kind"]),
        )
        for obj in objects
    ]
    return _wait(cluster, targets, timeout, clock or Clock())


def wait_until(
    cluster: Reader,
    api_version: str,
    kind: str,
    name: str,
    namespace: str = "",
    *,
    until: Callable[[Object], bool],
    fails: Callable[[Object], str] | None = None,
    timeout: float,
    clock: Clock | None = None,
) -> Object:
    """Wait until an object satisfies a condition.

    Args:
        cluster: Where it is.
        api_version: Of the object.
        kind: Of the object.
        name: Of the object.
        namespace: Of the object.
        until: Whether the object is as awaited.
        fails: Why it can never become so; empty while it can.
        timeout: Seconds.
        clock: Given in tests.

    Returns:
        The object as it satisfied the condition.

    Raises:
        WaitError: It failed, or the time is over.
    """
    ready = Readiness("as awaited", until, fails or (lambda _: ""), describe)
    target = _Target(api_version, kind, name, namespace, ready)
    _wait(cluster, [target], timeout, clock or Clock())
    return target.last or {}


def _wait(cluster: Reader, targets: list[_Target], timeout: float, clock: Clock) -> list[Waited]:
    with progress("ready", len(targets), now=clock.now) as told:
        return _turns(cluster, targets, timeout, clock, told)


def _turns(
    cluster: Reader, targets: list[_Target], timeout: float, clock: Clock, told: Progress
) -> list[Waited]:
    """Look again and again, until all are ready or one of them cannot be."""
    started = clock.now()
    deadline = started + timeout
    done: list[Waited] = []
    pending = list(targets)
    away_since: float | None = None
    while True:
        try:
            for target in list(pending):
                _look(cluster, target)
                if target.last is not None and target.ready.met(target.last):
                    pending.remove(target)
                    done.append(_waited(target, clock.now() - started))
            if not pending:
                return done
            told.tell(len(done), f"waiting for {pending[0].title}: {pending[0].seen()}")
            for target in pending:
                _give_up_on_failure(cluster, target, clock)
            if clock.now() >= deadline:
                raise _timed_out(pending, timeout)
            _watch_turn(cluster, pending[0], min(_TURN, deadline - clock.now()), clock)
            away_since = None
        except (UnreachableError, ApiError) as error:
            away_since = away_since if away_since is not None else clock.now()
            passing = isinstance(error, UnreachableError) or error.code in _PASSING
            if not passing or clock.now() - away_since > _OUTAGE or clock.now() >= deadline:
                raise
            told.tell(len(done), f"the API server does not answer: {error.what}")
            clock.sleep(_TURN)


def _waited(target: _Target, seconds: float) -> Waited:
    return Waited(target.kind, target.name, target.namespace, seconds, target.seen())


def _look(cluster: Reader, target: _Target) -> None:
    """Read the object; lists instead of gets, to learn where a watch can go on."""
    fields = f"metadata.name={target.name}"
    try:
        items, target.since = cluster.snapshot(
            target.api_version, target.kind, target.namespace, fields=fields
        )
    except NotFoundError:  # the kind is not served yet
        items, target.since = [], ""
    target.last = items[0] if items else None


def _watch_turn(cluster: Reader, target: _Target, seconds: float, clock: Clock) -> None:
    """Watch the object until it changes in a way that matters, or the turn is over."""
    if not target.since:
        clock.sleep(seconds)
        return
    fields = f"metadata.name={target.name}"
    try:
        with cluster.watch(
            target.api_version,
            target.kind,
            target.namespace,
            fields=fields,
            since=target.since,
            seconds=seconds,
        ) as events:
            for event in events:
                if event["type"] in ("ADDED", "MODIFIED"):
                    target.last = event["object"]
                    if target.ready.met(target.last) or target.ready.failed(target.last):
                        return
    except ApiError as error:
        if error.code != 410:  # the version is gone: the next turn lists anew
            raise


def _give_up_on_failure(cluster: Reader, target: _Target, clock: Clock) -> None:
    """Raise when the object, or something it depends on, shows that it will not get ready.

    Raises:
        WaitError: With the reason and the last lines of a crashed container's log.
    """
    reason = target.ready.failed(target.last) if target.last else ""
    if reason:
        raise _failed(target, Symptom(reason, fix=_describe_command(target)))
    try:
        found = list(symptoms.look(cluster, target.kind, target.last)) if target.last else []
    except ForbiddenError:  # who may not look at pods can still wait
        found = []
    now = clock.now()
    target.first_seen = {s.reason: target.first_seen.get(s.reason, now) for s in found}
    for symptom in found:
        if now - target.first_seen[symptom.reason] >= symptom.grace:
            raise _failed(target, symptom)


def _failed(target: _Target, symptom: Symptom) -> WaitError:
    why = f"{symptom.reason}\n{symptom.log}" if symptom.log else symptom.reason
    return WaitError(
        f"{target.title} will not become {target.ready.name}",
        why=why,
        fix=symptom.fix or _describe_command(target),
    )


def _timed_out(pending: Sequence[_Target], timeout: float) -> WaitError:
    titles = ", ".join(target.title for target in pending)
    name = pending[0].ready.name if len(pending) == 1 else "ready"
    return WaitError(
        f"{titles} did not become {name} within {timeout:.0f} s",
        why="last seen: " + "; ".join(f"{t.title}: {t.seen()}" for t in pending),
        fix=f"{_describe_command(pending[0])}; if it is only slow, raise the parameter timeout",
    )


def _describe_command(target: _Target) -> str:
    scope = f"-n {target.namespace} " if target.namespace else ""
    return f"kubectl {scope}describe {target.kind.lower()} {target.name}"
