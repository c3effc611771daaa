"""Label and field selectors, as a request spells them and as objects carry them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runbook.rehearsal.apiserver.resources import Resource
from runbook.rehearsal.apiserver.statuses import bad_request

__all__ = ["Requirement", "Selector", "field_selector", "label_selector", "matches_labels"]

Labels = Mapping[str, str]
_TOKEN = re.compile(r"\s*(==|!=|=|!|<|>|\(|\)|,|[^\s=!<>(),]+)")
_VALUE = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")


@dataclass(frozen=True)
class Requirement:
    """One term of a label selector.

    ``operator`` is one of ``=``, ``!=``, ``in``, ``notin``, ``exists``, ``!``, ``gt``, ``lt``.
    """

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Labels) -> bool:
        """Tell whether labels satisfy this term."""
        value = labels.get(self.key)
        match self.operator:
            case "=" | "in":
                return value in self.values
            case "!=" | "notin":
                return value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
        return _compare(value, self.operator, self.values[0])


def _compare(value: str | None, operator: str, bound: str) -> bool:
    try:
        number = int(value or "")
    except ValueError:
        return False
    return number > int(bound) if operator == "gt" else number < int(bound)


@dataclass(frozen=True)
class Selector:
    """What a list or watch request asks for: all terms must hold."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[tuple[str, bool, str], ...] = ()

    def matches(self, obj: Mapping[str, Any]) -> bool:
        """Tell whether an object is selected."""
        if self.labels:
            labels = obj.get("metadata", {}).get("labels") or {}
            if not all(term.matches(labels) for term in self.labels):
                return False
        return all((_field(obj, path) == value) is equal for path, equal, value in self.fields)

    @property
    def name(self) -> str | None:
        """Give the one name the selector admits, if it names one."""
        return next((v for path, eq, v in self.fields if path == "metadata.name" and eq), None)


class _Parser:
    """Reads ``a=b,c in (d,e),!f`` token by token; errors are worded as the server's."""

    def __init__(self, text: str) -> None:
        self.tokens = [match.group(1) for match in _TOKEN.finditer(text)]
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def next(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def expect(self, wanted: str) -> None:
        token = self.next()
        if token != wanted:
            raise bad_request(f"unable to parse requirement: found '{token}' expected: '{wanted}'")

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        while self.peek():
            found.append(self.requirement())
            following = self.next()
            if not following:
                break
            if following != ",":
                raise bad_request(f"found '{following}', expected: ',' or 'end of string'")
            if not self.peek():
                raise bad_request("found '', expected: identifier after ','")
        return found

    def requirement(self) -> Requirement:
        if self.peek() == "!":
            self.next()
            return Requirement(self.key(), "!")
        key = self.key()
        operator = self.peek()
        if operator in ("", ","):
            return Requirement(key, "exists")
        self.next()
        match operator:
            case "=" | "==":
                return Requirement(key, "=", (self.value(),))
            case "!=":
                return Requirement(key, "!=", (self.value(),))
            case "in" | "notin":
                return Requirement(key, operator, self.values())
            case ">" | "<":
                return Requirement(key, "gt" if operator == ">" else "lt", (self.value(),))
        raise bad_request(
            f"unable to parse requirement: found '{operator}', expected: "
            "in, notin, =, ==, !=, gt, lt"
        )

    def key(self) -> str:
        token = self.next()
        if not token or not re.match(r"[A-Za-z0-9]", token):
            raise bad_request(
                f"unable to parse requirement: found '{token}', expected: !, identifier, or "
                "'end of string'"
            )
        return token

    def value(self) -> str:
        if self.peek() in ("", ","):
            return ""
        return self.checked(self.next())

    def values(self) -> tuple[str, ...]:
        self.expect("(")
        found: list[str] = []
        while self.peek() != ")":
            if self.peek() == ",":
                self.next()
                continue
            if not self.peek():
                raise bad_request("unable to parse requirement: found '', expected: ',' or ')'")
            found.append(self.checked(self.next()))
        self.next()
        return tuple(found)

    @staticmethod
    def checked(value: str) -> str:
        if len(value) > 63 or not _VALUE.match(value):
            raise bad_request(
                f'unable to parse requirement: values[0][x]: Invalid value: "{value}": '
                "a valid label must be an empty string or consist of alphanumeric characters, "
                "'-', '_' or '.', and must start and end with an alphanumeric character "
                "(e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
                "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            )
        return value


def label_selector(text: str) -> tuple[Requirement, ...]:
    """Parse the ``labelSelector`` of a request.

    Raises:
        Refusal: 400 with the server's wording.

    >>> [r.operator for r in label_selector("a=b,c in (d,e),!f,g")]
    ['=', 'in', '!', 'exists']
    """
    return tuple(_Parser(text).requirements())


def matches_labels(selector: Mapping[str, Any] | None, labels: Labels | None) -> bool:
    """Tell whether a LabelSelector object (matchLabels, matchExpressions) selects labels.

    A missing selector selects nothing; an empty one selects everything.
    """
    if selector is None:
        return False
    have = labels or {}
    wanted = selector.get("matchLabels") or {}
    if any(have.get(key) != value for key, value in wanted.items()):
        return False
    operators = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
    return all(
        Requirement(e["key"], operators[e["operator"]], tuple(e.get("values") or ())).matches(have)
        for e in selector.get("matchExpressions") or ()
    )


_FIELDS: Mapping[tuple[str, str], Sequence[str]] = {
    ("", "pods"): (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    ("", "events"): (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    ("", "namespaces"): ("status.phase",),
    ("", "nodes"): ("spec.unschedulable",),
    ("", "secrets"): ("type",),
    ("", "services"): ("spec.clusterIP", "spec.type"),
    ("", "replicationcontrollers"): ("status.replicas",),
    ("apps", "replicasets"): ("status.replicas",),
    ("batch", "jobs"): ("status.successful",),
    ("certificates.k8s.io", "certificatesigningrequests"): ("spec.signerName",),
    ("apiextensions.k8s.io", "customresourcedefinitions"): (),
}
_FIELD_TERM = re.compile(r"^(?P<path>[^=!]+)(?P<op>==|=|!=)(?P<value>.*)$")


def field_selector(text: str, resource: Resource) -> tuple[tuple[str, bool, str], ...]:
    """Parse the ``fieldSelector`` of a request for one resource.

    Raises:
        Refusal: 400 when the syntax is wrong or the resource does not know the field.
    """
    found = []
    known = _known_fields(resource)
    for term in filter(None, text.split(",")):
        match = _FIELD_TERM.match(term)
        if not match:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        path = match["path"].strip()
        if path not in known:
            raise bad_request(_unknown_field(resource, path))
        found.append((path, match["op"] != "!=", match["value"]))
    return tuple(found)


def _known_fields(resource: Resource) -> list[str]:
    known = ["metadata.name"]
    if resource.namespaced:
        known.append("metadata.namespace")
    if resource.crd is not None:
        versions = resource.crd["spec"]["versions"]
        for version in versions:
            if version["name"] == resource.version:
                fields = version.get("selectableFields") or ()
                known += [f["jsonPath"].lstrip(".") for f in fields]
        return known
    return known + list(_FIELDS.get(resource.key, ()))


def _unknown_field(resource: Resource, path: str) -> str:
    if resource.key in _FIELDS:
        return f"field label not supported: {path}"
    names = ", ".join(f'"{name}"' for name in ("metadata.name", "metadata.namespace"))
    return f'"{path}" is not a known field selector: only {names}'


_DEFAULTS: Mapping[str, str] = {
    "spec.hostNetwork": "false",
    "spec.unschedulable": "false",
    "status.replicas": "0",
    "status.successful": "0",
}


def _field(obj: Mapping[str, Any], path: str) -> str:
    reader = _SPECIAL.get(path)
    if reader is not None:
        return reader(obj)
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        return _DEFAULTS.get(path, "")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _event_source(obj: Mapping[str, Any]) -> str:
    source = (obj.get("source") or {}).get("component")
    return str(source or obj.get("reportingComponent") or "")


def _succeeded(obj: Mapping[str, Any]) -> str:
    return str((obj.get("status") or {}).get("succeeded") or 0)


_SPECIAL: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "source": _event_source,
    "status.successful": _succeeded,
}
