"""What a request passes on its way: Traefik's Middlewares, as far as they are known here."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from runbook.rehearsal.ingress.passwords import UnknownSchemeError, matches

__all__ = ["Answer", "Middleware", "Request", "UnusableError", "middleware"]

Object = dict[str, Any]


class UnusableError(ValueError):
    """A Middleware cannot be used; the text says why."""


@dataclass(frozen=True)
class Answer:
    """An answer to a client.

    Args:
        status: HTTP status.
        body: What it says.
        headers: Its headers.
    """

    status: int
    body: bytes
    headers: Mapping[str, str]


@dataclass
class Request:
    """A request on its way.

    Args:
        method: HTTP method.
        target: Path and query.
        host: Host header.
        headers: All others; names are compared in any case.
        secure: Whether it came over TLS.
    """

    method: str
    target: str
    host: str
    headers: dict[str, str]
    secure: bool

    def header(self, name: str) -> str:
        """Give a header; empty where there is none."""
        return next((v for k, v in self.headers.items() if k.lower() == name.lower()), "")

    def set(self, name: str, value: str) -> None:
        """Give a header a value; an empty one takes it away."""
        for known in [k for k in self.headers if k.lower() == name.lower()]:
            del self.headers[known]
        if name.lower() == "host":
            self.host = value
        elif value:
            self.headers[name] = value


class Middleware(Protocol):
    """One thing that happens to requests."""

    def meet(self, request: Request) -> Answer | None:
        """Change a request, or answer it instead of the Service."""


@dataclass(frozen=True)
class BasicAuth:
    """Lets those in who have a password.

    Args:
        users: Hashes by user.
        realm: What the client is told that it is for.
        remove: Whether the header is taken away.
        field: Header that tells the Service who it is; empty for none.
        say: Told why nobody can be let in.
    """

    users: Mapping[str, str]
    realm: str
    remove: bool
    field: str
    say: Callable[[str], None]

    def meet(self, request: Request) -> Answer | None:
        """Let a request pass, or answer 401."""
        user, password = _credentials(request.header("Authorization"))
        kept = self.users.get(user)
        try:
            known = kept is not None and matches(password, kept)
        except UnknownSchemeError as error:
            self.say(f"the stand-in cannot check the password of a user: {error}")
            known = False
        if not known:
            realm = {"WWW-Authenticate": f'Basic realm="{self.realm}"'}
            plain = {"Content-Type": "text/plain"}
            return Answer(401, b"401 Unauthorized\n", plain | realm)
        if self.field:
            request.set(self.field, user)
        if self.remove:
            request.set("Authorization", "")
        return None


@dataclass(frozen=True)
class Headers:
    """Sets headers of requests.

    Args:
        values: By name; an empty one takes the header away.
    """

    values: Mapping[str, str]

    def meet(self, request: Request) -> Answer | None:
        """Set them."""
        for name, value in self.values.items():
            request.set(name, value)
        return None


@dataclass(frozen=True)
class RedirectScheme:
    """Sends clients to the same address with another scheme.

    Args:
        scheme: That scheme.
        port: Its port; empty for the usual one.
        permanent: Whether they shall remember it.
    """

    scheme: str
    port: str
    permanent: bool

    def meet(self, request: Request) -> Answer | None:
        """Answer with the other address, unless it is that already."""
        if self.scheme == ("https" if request.secure else "http"):
            return None
        host = urlsplit(f"//{request.host}").hostname or ""
        port = f":{self.port}" if self.port not in ("", "80", "443") else ""
        plain, kept = (301, 308) if self.permanent else (302, 307)
        status = plain if request.method == "GET" else kept
        where = f"{self.scheme}://{host}{port}{request.target}"
        return Answer(status, b"", {"Location": where})


def middleware(
    obj: Object, secrets: Mapping[tuple[str, str], Object], say: Callable[[str], None]
) -> Middleware:
    """Make a middleware.

    Args:
        obj: The Middleware.
        secrets: All Secrets, by namespace and name.
        say: Told what goes wrong later.

    Raises:
        UnusableError: It is of a kind that is not known here, or its Secret cannot be used.
    """
    spec = obj["spec"]
    match [*spec]:
        case ["basicAuth"]:
            return _basic_auth(obj["metadata"]["namespace"], spec["basicAuth"], secrets, say)
        case ["headers"] if spec["headers"].keys() <= {"customRequestHeaders"}:
            return Headers(spec["headers"].get("customRequestHeaders") or {})
        case ["redirectScheme"]:
            own = spec["redirectScheme"]
            port, permanent = str(own.get("port") or ""), bool(own.get("permanent"))
            return RedirectScheme(own.get("scheme", ""), port, permanent)
    raise UnusableError(
        "the stand-in knows basicAuth, headers.customRequestHeaders and redirectScheme, "
        f"not {', '.join(spec) or 'an empty Middleware'}"
    )


def _basic_auth(
    namespace: str,
    spec: Object,
    secrets: Mapping[tuple[str, str], Object],
    say: Callable[[str], None],
) -> BasicAuth:
    name = spec.get("secret", "")
    secret = secrets.get((namespace, name))
    if secret is None:
        raise UnusableError(
            f"failed to load auth credentials: secret '{namespace}/{name}' not found"
        )
    data = secret.get("data") or {}
    if len(data) != 1:
        raise UnusableError(
            f"failed to load auth credentials: found {len(data)} elements for secret "
            f"'{namespace}/{name}', must be single element exactly"
        )
    (value,) = data.values()
    lines = base64.b64decode(value).decode("utf-8", errors="replace").splitlines()
    found = (line.strip() for line in lines if not line.startswith("#"))
    users = dict(line.split(":", 1) for line in found if ":" in line)
    realm, field = spec.get("realm") or "traefik", spec.get("headerField", "")
    return BasicAuth(users, realm, bool(spec.get("removeHeader")), field, say)


def _credentials(header: str) -> tuple[str, str]:
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(value).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password
