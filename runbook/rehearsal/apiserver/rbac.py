"""Role-based access control: may this user do this?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runbook.rehearsal.apiserver.requests import Target, User
from runbook.rehearsal.apiserver.selectors import matches_labels
from runbook.rehearsal.apiserver.store import Store

__all__ = ["Access", "Authorizer"]

Rule = Mapping[str, Any]
_GROUP = "rbac.authorization.k8s.io"


@dataclass(frozen=True)
class Access:
    """What somebody wants to do: a verb on a resource, or on a plain path."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @classmethod
    def of(cls, target: Target) -> Access:
        """Take the access a request needs."""
        if not target.resource:
            return cls(target.verb, path=target.path)
        return cls(
            target.verb,
            target.group,
            target.resource,
            target.subresource,
            target.namespace,
            target.name,
        )

    @property
    def full_resource(self) -> str:
        """Give the resource as rules name it: ``pods/log``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    def denial(self, user: User) -> str:
        """Word the refusal as the server does."""
        if not self.resource:
            return f'User "{user.name}" cannot {self.verb} path "{self.path}"'
        where = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        return (
            f'User "{user.name}" cannot {self.verb} resource "{self.full_resource}" '
            f'in API group "{self.group}" {where}'
        )


class Authorizer:
    """Evaluates the Roles, ClusterRoles and bindings in the store.

    Args:
        store: Where they are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def allows(self, user: User, access: Access) -> bool:
        """Tell whether a user may do something."""
        if "system:masters" in user.groups:
            return True
        return any(_grants(rule, access) for rule in self.rules(user, access.namespace))

    def rules(self, user: User, namespace: str) -> Iterator[Rule]:
        """Give every rule that holds for a user in a namespace."""
        for binding in self._store.list((_GROUP, "clusterrolebindings")):
            if _binds(binding, user, ""):
                yield from self._role(binding["roleRef"], "")
        if not namespace:
            return
        for binding in self._store.list((_GROUP, "rolebindings"), namespace):
            if _binds(binding, user, namespace):
                yield from self._role(binding["roleRef"], namespace)

    def _role(self, reference: Mapping[str, str], namespace: str) -> Sequence[Rule]:
        cluster = reference["kind"] == "ClusterRole"
        table = (_GROUP, "clusterroles" if cluster else "roles")
        role = self._store.get(table, "" if cluster else namespace, reference["name"])
        if role is None:
            return ()
        found = list(role.get("rules") or ())
        if cluster and role.get("aggregationRule"):
            found += self._aggregated(role)
        return found

    def _aggregated(self, role: Mapping[str, Any]) -> list[Rule]:
        selectors = role["aggregationRule"].get("clusterRoleSelectors") or ()
        return [
            rule
            for other in self._store.list((_GROUP, "clusterroles"))
            if other is not role
            and any(matches_labels(s, other["metadata"].get("labels")) for s in selectors)
            for rule in other.get("rules") or ()
        ]


def _binds(binding: Mapping[str, Any], user: User, namespace: str) -> bool:
    for subject in binding.get("subjects") or ():
        match subject["kind"]:
            case "User":
                if subject["name"] == user.name:
                    return True
            case "Group":
                if subject["name"] in user.groups:
                    return True
            case "ServiceAccount":
                home = subject.get("namespace") or namespace
                if user.name == f"system:serviceaccount:{home}:{subject['name']}":
                    return True
    return False


def _grants(rule: Rule, access: Access) -> bool:
    if not _listed(rule.get("verbs"), access.verb):
        return False
    if not access.resource:
        return any(_path_matches(p, access.path) for p in rule.get("nonResourceURLs") or ())
    if not _listed(rule.get("apiGroups"), access.group):
        return False
    resources = rule.get("resources") or ()
    wanted = {"*", access.full_resource}
    if access.subresource:
        wanted.add(f"*/{access.subresource}")
    if not wanted.intersection(resources):
        return False
    names = rule.get("resourceNames") or ()
    return not names or access.name in names


def _listed(values: Sequence[str] | None, wanted: str) -> bool:
    return "*" in (values or ()) or wanted in (values or ())


def _path_matches(pattern: str, path: str) -> bool:
    if pattern in ("*", path):
        return True
    return pattern.endswith("*") and path.startswith(pattern[:-1])
