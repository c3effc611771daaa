"""A Kubernetes cluster: objects in and out as plain dicts, in kubectl's words.

>>> from runbook.cluster import connect
>>> cluster = connect(params)                                         # doctest: +SKIP
>>> cluster.get("v1", "Namespace", "kube-system")["metadata"]["uid"]  # doctest: +SKIP
'0b4b7e5c-...'
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, Protocol

from runbook.errors import ApiError, ForbiddenError, GuardError, NotFoundError, UsageError
from runbook.kinds import Kinds, Resource, root
from runbook.kubeconfig import Access, open_access
from runbook.transport import APPLY_PATCH, JSON_PATCH, Page, Reply, Transport, Wanted
from runbook.wait import Waited, wait_for, wait_until

__all__ = ["MANAGER", "Cluster", "Object", "Target", "connect"]

Object = dict[str, Any]
MANAGER = "linkerd-runbook"
"""Field manager of everything the runbook applies itself."""

_PAGE = 500  # objects a page, as kubectl asks for
_SYSTEM = "kube-system"  # its UID is the usual identity of a cluster


class Target(Protocol):
    """The parameters that name a cluster."""

    @property
    def cluster(self) -> str:
        """``rehearsal``, or the name of a kubeconfig context."""

    @property
    def kubeconfig(self) -> str:
        """Path of the kubeconfig, empty for the usual one."""

    @property
    def cluster_uid(self) -> str:
        """UID that the namespace kube-system must have, empty for any."""


class Cluster:
    """One cluster, reached through one kubeconfig context.

    Args:
        access: The way in.
        transport: Sends the requests; given in tests.
    """

    def __init__(self, access: Access, transport: Transport | None = None) -> None:
        self.context = access.context
        self.kubeconfig = access.kubeconfig
        self.rehearsal = access.rehearsal
        self.chart_repository = access.chart_repository
        self.dashboards = access.dashboards
        self._http = transport or Transport(access.client, access.headers)
        self._kinds = Kinds(self._http)

    def __repr__(self) -> str:
        return f"Cluster({self.name!r}, {self.server!r})"

    @property
    def name(self) -> str:
        """Name of the kubeconfig context."""
        return self.context

    @property
    def server(self) -> str:
        """Address of the API server."""
        return self._http.server

    @cached_property
    def uid(self) -> str:
        """UID of the namespace kube-system; empty if it may not be read or is not there."""
        # A plain path, so that not even discovery is read before the guard has compared it.
        wanted = Wanted("get", "namespaces", "Namespace", _SYSTEM)
        try:
            found = self._http.request("GET", f"/api/v1/namespaces/{_SYSTEM}", wanted)
        except (ForbiddenError, NotFoundError):
            return ""
        return str(found.body["metadata"]["uid"])

    @cached_property
    def version(self) -> str:
        """Version of the API server without the leading v, such as ``1.35.0+k3s1``."""
        return str(self.read("/version")["gitVersion"]).removeprefix("v")

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object:
        """Read an object.

        Raises:
            NotFoundError: The object or its kind does not exist.
        """
        resource = self._kinds.find(api_version, kind)
        return self._one("GET", "get", resource, name, namespace)

    def find(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        """Read an object, ``None`` if it, its namespace or its kind does not exist, or no name."""
        try:
            # Without a name the path would be that of the list.
            return self.get(api_version, kind, name, namespace) if name else None
        except NotFoundError:
            return None

    def list(
        self,
        api_version: str,
        kind: str,
        namespace: str = "",
        *,
        selector: str = "",
        fields: str = "",
        limit: int = _PAGE,
    ) -> Iterator[Object]:
        """Read objects page by page; nothing if the kind is not served.

        An object that has been given is not kept: one page is the most that memory has to hold.

        Args:
            api_version: Such as ``apps/v1``.
            kind: Such as ``Deployment``.
            namespace: Empty means every namespace.
            selector: Label selector.
            fields: Field selector.
            limit: Objects a page.
        """
        try:
            resource = self._kinds.find(api_version, kind)
        except NotFoundError:
            return
        query = {"labelSelector": selector, "fieldSelector": fields, "limit": limit}
        seen: set[str] = set()
        token = ""
        while True:
            try:
                page = self._page(resource, namespace, {**query, "continue": token})
            except ApiError as error:
                if error.code != 410 or not token:
                    raise
                token, query["limit"] = "", 0  # the snapshot expired: start over, in one piece
                continue
            token = page["metadata"].get("continue", "")
            items = page.pop("items")[::-1]
            while items:
                item = items.pop()
                if item["metadata"]["uid"] not in seen:
                    seen.add(item["metadata"]["uid"])
                    yield item
            if not token:
                return

    def snapshot(
        self,
        api_version: str,
        kind: str,
        namespace: str = "",
        *,
        fields: str = "",
    ) -> tuple[builtins.list[Object], str]:
        """Read objects in one piece, with the version a watch can go on from."""
        resource = self._kinds.find(api_version, kind)
        page = self._page(resource, namespace, {"fieldSelector": fields})
        return page["items"], str(page["metadata"].get("resourceVersion", ""))

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
        """Open a watch: a context manager that gives the events until the server ends it."""
        resource = self._kinds.find(api_version, kind)
        return self._http.watch(
            resource.path(namespace),
            Wanted("watch", resource.title, kind, "", namespace),
            {"resourceVersion": since, "fieldSelector": fields},
            seconds,
        )

    def apply(
        self, obj: Mapping[str, Any], *, dry_run: bool = False, force: bool = False
    ) -> Object:
        """Apply an object on the server (server-side apply) as manager ``linkerd-runbook``.

        Args:
            obj: The fields to own.
            dry_run: Let the server do everything but store it.
            force: Take fields that other managers own.

        Raises:
            ConflictError: Another manager owns a field and ``force`` is not set.
        """
        query = {
            "fieldManager": MANAGER,
            "force": "true" if force else "false",
            "fieldValidation": "Strict",
            "dryRun": "All" if dry_run else "",
        }
        return self._write("PATCH", "apply", obj, query, APPLY_PATCH)

    def patch(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str = "",
        *,
        operations: Sequence[Mapping[str, Any]],
        dry_run: bool = False,
    ) -> Object:
        """Change an object by a JSON patch (RFC 6902).

        Args:
            api_version: Of the object.
            kind: Of the object.
            name: Of the object.
            namespace: Of the object.
            operations: In their order; all of them are done, or none.
            dry_run: Let the server do everything but store it.

        Raises:
            NotFoundError: The object or its kind does not exist.
            ApiError: A ``test`` among the operations does not hold, or the result is invalid.
        """
        query = {
            "fieldManager": MANAGER,
            "fieldValidation": "Strict",
            "dryRun": "All" if dry_run else "",
        }
        resource = self._kinds.find(api_version, kind)
        return self._one(
            "PATCH",
            "patch",
            resource,
            name,
            namespace,
            query=query,
            body=list(operations),
            content_type=JSON_PATCH,
        )

    def create(self, obj: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Create an object.

        Raises:
            ConflictError: It exists already.
        """
        query = {
            "fieldManager": MANAGER,
            "fieldValidation": "Strict",
            "dryRun": "All" if dry_run else "",
        }
        return self._write("POST", "create", obj, query)

    def delete(self, api_version: str, kind: str, name: str, namespace: str = "") -> None:
        """Delete an object; objects it owns go in the background. Absent is fine."""
        resource = self._kinds.find(api_version, kind)
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        try:
            self._one("DELETE", "delete", resource, name, namespace, body=options)
        except NotFoundError:
            return

    def wait(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str = "",
        *,
        until: Callable[[Object], bool],
        fails: Callable[[Object], str] | None = None,
        timeout: float,
    ) -> Object:
        """Wait until an object satisfies a condition.

        Args:
            api_version: Of the object.
            kind: Of the object.
            name: Of the object.
            namespace: Of the object.
            until: Whether the object is as awaited.
            fails: Why it can never become so; empty while it can.
            timeout: Seconds.

        Raises:
            WaitError: It failed, or the time is over; the message says what was last seen.
        """
        return wait_until(
            self, api_version, kind, name, namespace, until=until, fails=fails, timeout=timeout
        )

    def wait_ready(
        self, objects: Sequence[Mapping[str, Any]], timeout: float
    ) -> builtins.list[Waited]:
        """Wait until every object is ready in the sense of its kind, see :mod:`runbook.readiness`.

        Raises:
            WaitError: One of them failed, with the reason, or the time is over.
        """
        return wait_for(self, objects, timeout)

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str = "",
        *,
        previous: bool = False,
        tail: int = 0,
    ) -> str:
        """Read a container's log.

        Args:
            namespace: Of the pod.
            pod: Its name.
            container: Empty is fine for a pod with one container.
            previous: Read the run before the last restart.
            tail: Number of lines from the end; 0 means all.
        """
        path = self._kinds.find("v1", "Pod").path(namespace, pod) + "/log"
        wanted = Wanted("get", "pods/log", "log of Pod", pod, namespace)
        query = {
            "container": container,
            "previous": "true" if previous else "",
            "tailLines": tail or "",
        }
        return str(self._http.request("GET", path, wanted, query=query, text=True).body)

    def can(
        self,
        verb: str,
        resource: str,
        *,
        group: str = "",
        namespace: str = "",
        name: str = "",
    ) -> bool:
        """Ask whether the user may do something (SelfSubjectAccessReview); changes nothing."""
        attributes = {
            "verb": verb,
            "resource": resource.partition("/")[0],
            "subresource": resource.partition("/")[2],
            "group": group,
            "namespace": namespace,
            "name": name,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {k: v for k, v in attributes.items() if v}},
        }
        path = f"{root('authorization.k8s.io/v1')}/selfsubjectaccessreviews"
        wanted = Wanted("create", "selfsubjectaccessreviews.authorization.k8s.io")
        return bool(self._http.request("POST", path, wanted, body=review).body["status"]["allowed"])

    def serves(self, api_version: str, kind: str) -> bool:
        """Tell whether the API server knows a kind, such as one of an installed CRD."""
        try:
            self._kinds.find(api_version, kind)
        except NotFoundError:
            return False
        return True

    def now(self) -> datetime:
        """Give the API server's clock, to the second (the ``Date`` of an answer)."""
        date = self._read("/version").headers.get("Date", "")
        try:
            return parsedate_to_datetime(date)
        except ValueError:
            raise ApiError("the API server's answers carry no Date", code=200) from None

    def read(self, path: str) -> Any:
        """Read any path of the API server, such as ``/readyz`` or a proxied address.

        Returns:
            Decoded JSON; text if it is none.
        """
        return self._read(path).body

    def page(
        self,
        namespace: str,
        service: str,
        port: int | str,
        path: str = "/",
        *,
        tls: bool = False,
        host: str = "",
        timeout: float = 60.0,
    ) -> Page:
        """Read a page of a Service through the API server's proxy, so no port-forward is needed.

        Args:
            namespace: Of the Service.
            service: Its name.
            port: Its port, a number or a name.
            path: Path and query.
            tls: Whether it speaks HTTPS; the API server does not verify its certificate.
            host: Host header that the Service sees; empty for the API server's own.
            timeout: Seconds between two bytes of the answer.

        Raises:
            NotFoundError: There is no such Service.
            ApiError: It has no ready pods, or the user may not ``get services/proxy``.
        """
        where = self._kinds.find("v1", "Service").path(namespace)
        scheme = "https:" if tls else ""
        wanted = Wanted("get", "services/proxy", "Service", service, namespace)
        target = f"{where}/{scheme}{service}:{port}/proxy/{path.removeprefix('/')}"
        return self._http.page(target, wanted, host=host, timeout=timeout)

    def namespaced(self, api_version: str, kind: str) -> bool:
        """Tell whether a kind lives in namespaces.

        Raises:
            NotFoundError: The kind is not served.
        """
        return self._kinds.find(api_version, kind).namespaced

    def _read(self, path: str) -> Reply:
        return self._http.request("GET", path, Wanted("get", path))

    def _page(self, resource: Resource, namespace: str, query: Mapping[str, Any]) -> Object:
        wanted = Wanted("list", resource.title, resource.kind, "", namespace)
        asked = {key: value for key, value in query.items() if value}
        page: Object = self._http.request("GET", resource.path(namespace), wanted, query=asked).body
        items = page.get("items") or []
        named = {"apiVersion": resource.api_version, "kind": resource.kind}  # lists leave them out
        return {**page, "items": [{**named, **item} for item in items]}

    def _write(
        self,
        method: str,
        verb: str,
        obj: Mapping[str, Any],
        query: Mapping[str, Any],
        content_type: str = "application/json",
    ) -> Object:
        resource = self._kinds.find(str(obj["apiVersion"]), str(obj["kind"]))
        meta = obj["metadata"]
        return self._one(
            method,
            verb,
            resource,
            str(meta.get("name", "")),
            str(meta.get("namespace", "")),
            query=query,
            body=obj,
            content_type=content_type,
        )

    def _one(
        self,
        method: str,
        verb: str,
        resource: Resource,
        name: str,
        namespace: str,
        **request: Any,
    ) -> Object:
        if resource.namespaced and not namespace:
            raise UsageError(
                f"{resource.kind} {name} needs a namespace", fix="set metadata.namespace"
            )
        scope = namespace if resource.namespaced else ""
        path = resource.path(scope, "" if method == "POST" else name)
        wanted = Wanted(verb, resource.title, resource.kind, name, scope)
        found: Object = self._http.request(method, path, wanted, **request).body
        return found


def connect(target: Target) -> Cluster:
    """Connect to the cluster that the parameters name, and to no other.

    The UID of the namespace kube-system is the first thing read; when the parameters give one,
    nothing else is read or written unless it is the same.

    Raises:
        UsageError: No such kubeconfig or context.
        RehearsalError: No rehearsal cluster is running.
        UnreachableError: The API server does not answer.
        GuardError: Another cluster answers.
    """
    cluster = Cluster(open_access(target.cluster, target.kubeconfig))
    try:
        _guard(cluster, target.cluster_uid)
    except BaseException:
        cluster.close()
        raise
    return cluster


def _guard(cluster: Cluster, expected: str) -> None:
    uid = cluster.uid
    if expected and uid != expected:
        raise GuardError(
            f"the context {cluster.name} leads to another cluster than the parameters name",
            why=f"cluster_uid is {expected}, but kube-system there has {uid}"
            if uid
            else "its namespace kube-system cannot be read, so it cannot be told from another",
            fix="correct the parameter cluster, or cluster_uid if the cluster was rebuilt",
        )
