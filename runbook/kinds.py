"""Kinds and the resources they are served as, by the API server's own account (discovery)."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from runbook.errors import NotFoundError
from runbook.transport import Transport, Wanted

__all__ = ["Kinds", "Resource", "root"]


@dataclass(frozen=True)
class Resource:
    """How a kind is served: its plural name and whether it lives in namespaces."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    @property
    def group(self) -> str:
        """API group, empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def title(self) -> str:
        """As in kubectl's messages: ``certificates.cert-manager.io``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str, name: str = "") -> str:
        """Give the path of the collection, or of one object in it."""
        parts = [root(self.api_version)]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=":"))
        return "/".join(parts)


class Kinds:
    """What an API server serves; asked once per group and version, again for what is not found.

    Args:
        http: Sends the requests.
    """

    def __init__(self, http: Transport) -> None:
        self._http = http
        self._served: dict[str, dict[str, Resource]] = {}

    def find(self, api_version: str, kind: str) -> Resource:
        """Find how a kind is served.

        Raises:
            NotFoundError: The API server does not know the kind; its CRD may be missing.
        """
        if kind not in self._served.get(api_version, {}):
            self._served[api_version] = self._discover(api_version)
        found = self._served[api_version].get(kind)
        if found is None:
            raise NotFoundError(
                f"the cluster does not know the kind {kind} of {api_version}",
                code=404,
                reason="NotFound",
                why=f"its CustomResourceDefinition in the group {api_version.partition('/')[0]} "
                "is not installed, or not in this version"
                if "." in api_version
                else "this version of the API server does not serve it",
                fix=f"`kubectl api-resources --api-group={api_version.rpartition('/')[0]}` "
                "lists what there is",
            )
        return found

    def _discover(self, api_version: str) -> dict[str, Resource]:
        try:
            found = self._http.request(
                "GET", root(api_version), Wanted("get", f"the kinds of {api_version}")
            )
        except NotFoundError:
            return {}
        return {
            item["kind"]: Resource(api_version, item["kind"], item["name"], item["namespaced"])
            for item in found.body["resources"]
            if "/" not in item["name"]  # subresources
        }


def root(api_version: str) -> str:
    """Give the path of a group and version.

    >>> root("v1"), root("apps/v1")
    ('/api/v1', '/apis/apps/v1')
    """
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
