"""A small client of the Kubernetes API over HTTPS: plain dicts in, plain dicts out.

The controllers use nothing else, so they could be pointed at a real API server.
"""

from __future__ import annotations

import json
import ssl
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3
import yaml

from runbook.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnreachableError,
)

__all__ = ["Client", "Object", "Resource"]

Object = dict[str, Any]

_MERGE = "application/merge-patch+json"
_JSON = "application/json-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"
_APPLY = "application/apply-patch+yaml"
_ERRORS: Mapping[int, type[ApiError]] = {
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    422: InvalidError,
}
_PAGE = 500


@dataclass(frozen=True)
class Resource:
    """One resource of the API: what a path is made of.

    Args:
        group: API group, empty for the core group.
        version: API version such as ``v1``.
        plural: Name in the path such as ``deployments``.
        kind: Kind of its objects.
        namespaced: Whether its objects live in a namespace.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """Give ``apiVersion`` as objects write it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Build the request path of the collection, or of one object when ``name`` is given."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if namespace and self.namespaced:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/" + "/".join(parts)


@dataclass(frozen=True)
class Client:
    """Talk to one API server as one user.

    Args:
        server: Base URL, ``https://...``.
        token: Bearer token; never shown.
        ca: PEM certificates that the server's certificate must chain to.
        agent: User agent; its first word becomes the field manager of what is written.
        observe: Called with every object that a write returns.
    """

    server: str
    token: str
    ca: str
    agent: str
    pool: urllib3.PoolManager
    observe: Callable[[Resource, Object], None] | None = None

    def __repr__(self) -> str:
        return f"Client({self.server!r}, agent={self.agent!r})"

    @classmethod
    def connect(cls, server: str, *, token: str, ca: str, agent: str = "runbook") -> Client:
        """Make a client from an address and credentials.

        Args:
            server: Base URL of the API server.
            token: Bearer token.
            ca: PEM certificates of the server's authority.
            agent: User agent.
        """
        pool = urllib3.PoolManager(
            num_pools=2,
            maxsize=8,
            cert_reqs="CERT_REQUIRED",
            ca_cert_data=ca,
            retries=False,
            timeout=urllib3.Timeout(connect=10, read=60),
        )
        return cls(server.rstrip("/"), token, ca, agent, pool)

    @classmethod
    def from_kubeconfig(cls, path: Path, *, agent: str = "runbook") -> Client:
        """Make a client from the current context of a kubeconfig with a bearer token.

        Args:
            path: The kubeconfig file.
            agent: User agent.
        """
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        named = {
            key: {entry["name"]: entry for entry in config[key]}
            for key in ("contexts", "clusters", "users")
        }
        context = named["contexts"][config["current-context"]]["context"]
        cluster = named["clusters"][context["cluster"]]["cluster"]
        user = named["users"][context["user"]]["user"]
        ca = b64decode(cluster["certificate-authority-data"]).decode()
        return cls.connect(cluster["server"], token=user["token"], ca=ca, agent=agent)

    def acting_as(self, agent: str) -> Client:
        """Give the same client under another user agent, hence another field manager."""
        return replace(self, agent=agent)

    def observed_by(self, observe: Callable[[Resource, Object], None]) -> Client:
        """Give the same client, with every object a write returns also handed to ``observe``."""
        return replace(self, observe=observe)

    def ssl_context(self) -> ssl.SSLContext:
        """Make a TLS context that trusts the server's authority and nothing else."""
        return ssl.create_default_context(cadata=self.ca)

    def headers(self) -> dict[str, str]:
        """Give the headers every request carries."""
        return {
            "Authorization": f"Bearer {self.token}",
            "User-Agent": self.agent,
            "Accept": "application/json",
        }

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Any:
        """Send one request and give the decoded answer.

        Raises:
            ApiError: The server answered with an error; the subclass follows the status.
            UnreachableError: There was no answer.
        """
        url = self.server + path + (f"?{urlencode(query)}" if query else "")
        headers = self.headers()
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = content_type
        try:
            answer = self.pool.request(method, url, body=data, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise UnreachableError(f"{urlsplit(url).netloc} does not answer: {error}") from error
        if answer.status >= 400:
            raise _failure(answer.status, answer.data)
        kind = answer.headers.get("Content-Type", "")
        return json.loads(answer.data) if "json" in kind else answer.data.decode()

    def served(self, api_version: str) -> dict[str, Resource]:
        """Ask which resources a group version has, by kind."""
        group, _, version = api_version.rpartition("/")
        found = self.request("GET", f"/apis/{api_version}" if group else f"/api/{version}")
        return {
            entry["kind"]: Resource(
                group, version, entry["name"], entry["kind"], entry["namespaced"]
            )
            for entry in found["resources"]
            if "/" not in entry["name"]
        }

    def get(
        self, resource: Resource, name: str, namespace: str = "", subresource: str = ""
    ) -> Object:
        """Read one object.

        Raises:
            NotFoundError: There is none.
        """
        found: Object = self.request("GET", resource.path(namespace, name, subresource))
        return found

    def find(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        """Read one object, or give None when there is none."""
        try:
            return self.get(resource, name, namespace)
        except NotFoundError:
            return None

    def list(
        self, resource: Resource, namespace: str = "", *, selector: str = "", fields: str = ""
    ) -> Iterator[Object]:
        """Read all objects, page by page."""
        query = {"limit": str(_PAGE)}
        if selector:
            query["labelSelector"] = selector
        if fields:
            query["fieldSelector"] = fields
        while True:
            page = self.request("GET", resource.path(namespace), query=query)
            for item in page.get("items") or []:
                yield {"apiVersion": resource.api_version, "kind": resource.kind, **item}
            token = page.get("metadata", {}).get("continue")
            if not token:
                return
            query["continue"] = token

    def create(self, resource: Resource, obj: Object, subresource: str = "") -> Object:
        """Create an object, or post to a subresource of it."""
        meta = obj["metadata"]
        path = resource.path(
            meta.get("namespace", ""), meta["name"] if subresource else "", subresource
        )
        if not subresource:
            obj = {"apiVersion": resource.api_version, "kind": resource.kind, **obj}
        return self._written(resource, self.request("POST", path, body=obj))

    def update(self, resource: Resource, obj: Object, subresource: str = "") -> Object:
        """Replace an object or one of its subresources; its resourceVersion must be current."""
        meta = obj["metadata"]
        path = resource.path(meta.get("namespace", ""), meta["name"], subresource)
        return self._written(resource, self.request("PUT", path, body=obj))

    def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str = "",
        *,
        subresource: str = "",
        strategic: bool = False,
    ) -> Object:
        """Patch an object: a list is a JSON patch, a dict a merge patch (or a strategic one)."""
        kind = _JSON if isinstance(patch, list) else _STRATEGIC if strategic else _MERGE
        path = resource.path(namespace, name, subresource)
        answer = self.request("PATCH", path, body=patch, content_type=kind)
        return self._written(resource, answer)

    def apply(
        self, resource: Resource, obj: Object, *, manager: str, force: bool = False
    ) -> Object:
        """Server-side apply an object as ``manager``."""
        meta = obj["metadata"]
        answer = self.request(
            "PATCH",
            resource.path(meta.get("namespace", ""), meta["name"]),
            query={"fieldManager": manager, "force": str(force).lower()},
            body={"apiVersion": resource.api_version, "kind": resource.kind, **obj},
            content_type=_APPLY,
        )
        return self._written(resource, answer)

    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        policy: str = "Background",
        grace: int | None = None,
        uid: str = "",
    ) -> bool:
        """Delete an object.

        Args:
            resource: What it is.
            name: Its name.
            namespace: Its namespace.
            policy: What happens to its dependents: Background, Foreground or Orphan.
            grace: Seconds a pod gets to stop; None for its own.
            uid: Delete only this very object.

        Returns:
            Whether there was anything to delete.
        """
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            answer = self.request("DELETE", resource.path(namespace, name), body=options)
        except NotFoundError:
            return False
        self._written(resource, answer)
        return True

    def _written(self, resource: Resource, answer: Object) -> Object:
        if self.observe is not None and answer.get("kind") == resource.kind:
            self.observe(resource, answer)
        return answer


def _failure(status: int, data: bytes) -> ApiError:
    try:
        body = json.loads(data)
    except ValueError:
        body = {"message": data.decode(errors="replace").strip()}
    kind = _ERRORS.get(status, ApiError)
    return kind(
        body.get("message") or f"the API server answered {status}",
        code=status,
        reason=body.get("reason", ""),
        body=body,
    )
