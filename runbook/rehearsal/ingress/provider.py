"""What Traefik knows of the cluster: a configuration, made anew whenever something changes."""

from __future__ import annotations

import base64
import os
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbook.rehearsal.images.settings import Settings
from runbook.rehearsal.images.watching import Watch
from runbook.rehearsal.ingress.middlewares import Middleware, UnusableError, middleware
from runbook.rehearsal.ingress.routes import Asked, Router, routers

__all__ = ["Configuration", "Provider", "log"]

Object = dict[str, Any]
Certificates = Mapping[str, ssl.SSLContext]

_NETWORKING = "/apis/networking.k8s.io/v1"
_NOT_HELMS = "owner!=helm"  # Traefik leaves Helm's releases out as well: they are large
_SYNC_SECONDS = 10.0
_THROTTLE = 0.1
"""Seconds in which changes become one configuration; Traefik takes 2 s."""


def log(level: str, text: str, **fields: str) -> None:
    """Say something in the format of Traefik, with a mark of the stand-in."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    named = "".join(f" {key}={value}" for key, value in fields.items())
    print(f"{stamp} {level} {text}{named} rehearsal=true", flush=True)


@dataclass(frozen=True)
class Configuration:
    """What was made of the cluster's objects at one moment.

    Args:
        routers: The most specific first; only those that work.
        middlewares: By the name that routers use.
        certificates: TLS settings by host.
        problems: What is wrong with the objects, in Traefik's words.
    """

    routers: tuple[Router, ...] = ()
    middlewares: Mapping[str, Middleware] = field(default_factory=dict)
    certificates: Certificates = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def find(self, asked: Asked) -> Router | None:
        """Find the router for a request."""
        return next((router for router in self.routers if router.takes(asked)), None)

    def certificate(self, name: str) -> ssl.SSLContext | None:
        """Find the certificate for the name a client asks for; None for the default one."""
        host = name.lower()
        return self.certificates.get(host) or self.certificates.get(f"*.{host.partition('.')[2]}")


class Provider:
    """Keeps the configuration up to date.

    Args:
        settings: How to reach the API server, and where to keep files.
        group: API group of the Middlewares.

    Attributes:
        current: The configuration that is in effect.
        reloads: How many there have been.
    """

    def __init__(self, settings: Settings, group: str) -> None:
        self.current = Configuration()
        self.reloads = 0
        self._certificates = _Certificates(Path(settings.directory) / "served.pem")
        self._changed = threading.Event()

        def watch(path: str, selector: str = "") -> Watch:
            return Watch(settings, path, self._hear, agent="traefik", selector=selector)

        self._ingresses = watch(f"{_NETWORKING}/ingresses")
        self._details = (
            watch(f"{_NETWORKING}/ingressclasses"),
            watch(f"/apis/{group}/v1alpha1/middlewares"),
            watch("/api/v1/secrets", _NOT_HELMS),
        )

    def start(self) -> None:
        """Begin, in threads that end with the process."""
        threading.Thread(target=self._run, name="provider", daemon=True).start()

    def _hear(self, *_: object) -> None:
        self._changed.set()

    def _run(self) -> None:
        self._ingresses.start()
        self._changed.wait()  # while there is no Ingress, nothing else matters
        for watch in self._details:
            watch.start()
        for watch in self._details:
            watch.synced.wait(_SYNC_SECONDS)
        while True:
            self._changed.clear()
            self._load()
            self._changed.wait()
            time.sleep(_THROTTLE)

    def _load(self) -> None:
        before = set(self.current.problems)
        self.current = self._made()
        self.reloads += 1
        for problem in dict.fromkeys(self.current.problems):
            if problem not in before:
                log("ERR", problem, providerName="kubernetes")

    def _made(self) -> Configuration:
        classes, specs, secrets = (watch.objects for watch in self._details)
        by_name = {(s["metadata"]["namespace"], s["metadata"]["name"]): s for s in secrets}
        problems: list[str] = []
        known = _middlewares(specs, by_name, problems)
        found: list[Router] = []
        certificates: dict[str, ssl.SSLContext] = {}
        for ingress in self._ingresses.objects:
            own = list(routers(ingress, classes))
            found += own
            if own:
                certificates |= self._certificates.of(ingress, by_name, problems)
        works = [router for router in found if _complete(router, known, problems)]
        ranked = sorted(works, key=lambda router: router.priority, reverse=True)
        return Configuration(tuple(ranked), known, certificates, tuple(problems))


class _Certificates:
    """TLS settings made of Secrets, each once while the Secret stays as it is.

    Args:
        file: Where a certificate is put to be loaded; it is gone again afterwards.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._made: dict[tuple[str, str], ssl.SSLContext] = {}

    def of(
        self, ingress: Object, secrets: Mapping[tuple[str, str], Object], problems: list[str]
    ) -> dict[str, ssl.SSLContext]:
        """Give the TLS settings for the hosts of an Ingress, and note what is wrong with them."""
        space, name = ingress["metadata"]["namespace"], ingress["metadata"]["name"]
        result: dict[str, ssl.SSLContext] = {}
        for entry in ingress["spec"].get("tls") or []:
            wanted = entry.get("secretName", "")
            secret = secrets.get((space, wanted)) if wanted else None
            if wanted and secret is None:
                reason = f"secret {space}/{wanted} does not exist"
                problems.append(_failure("Error configuring TLS", reason, ingress=name))
            if secret is None:
                continue
            try:
                context = self._context(secret)
            except (OSError, ValueError, KeyError) as error:  # SSLError is an OSError
                reason = f"secret {space}/{wanted} has no certificate that can be used: {error}"
                problems.append(_failure("Error configuring TLS", reason, ingress=name))
                continue
            result |= {host.lower(): context for host in entry.get("hosts") or []}
        return result

    def _context(self, secret: Object) -> ssl.SSLContext:
        key = secret["metadata"]["uid"], secret["metadata"]["resourceVersion"]
        if key not in self._made:
            parts = [base64.b64decode(secret["data"][name]) for name in ("tls.crt", "tls.key")]
            self._file.unlink(missing_ok=True)
            fd = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(b"\n".join(parts))
            try:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self._file)
            finally:
                self._file.unlink()
            self._made[key] = context
        return self._made[key]


def _middlewares(
    specs: Iterable[Object], secrets: Mapping[tuple[str, str], Object], problems: list[str]
) -> dict[str, Middleware]:
    result: dict[str, Middleware] = {}
    for spec in specs:
        name = f"{spec['metadata']['namespace']}-{spec['metadata']['name']}@kubernetescrd"
        try:
            result[name] = middleware(spec, secrets, lambda text: log("ERR", text))
        except UnusableError as error:
            problems.append(_failure(f"Error while reading middleware {name}", str(error)))
    return result


def _complete(router: Router, known: Mapping[str, Middleware], problems: list[str]) -> bool:
    """Tell whether all middlewares of a router are there, and note which are not."""
    missing = [name for name in router.middlewares if name not in known]
    problems += [
        f'error="middleware \\"{m}\\" does not exist" routerName={router.name}' for m in missing
    ]
    return not missing


def _failure(what: str, why: str, **fields: str) -> str:
    quoted = why.replace('"', '\\"')
    named = "".join(f" {key}={value}" for key, value in fields.items())
    return f'{what} error="{quoted}"{named}'
