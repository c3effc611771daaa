"""Names, labels and annotations, and the metadata that every object has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from runbook.rehearsal.objects.validation import Cause, forbidden, invalid, not_supported, required

__all__ = [
    "check_labels",
    "check_metadata",
    "check_selector",
    "dns_label",
    "dns_subdomain",
    "qualified_name",
]

Object = Mapping[str, Any]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_DNS1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"

_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    f"for validation is '{_LABEL}')"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    f"for validation is '{_SUBDOMAIN}')"
)
_DNS1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
    f"regex used for validation is '{_DNS1035}')"
)
_QUALIFIED_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    f"validation is '{_QUALIFIED}')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
    f"or '12345', regex used for validation is '{_VALUE}')"
)

_ANNOTATIONS_LIMIT = 256 * 1024


def _long(limit: int) -> str:
    return f"must be no more than {limit} bytes"


def dns_label(name: str) -> list[str]:
    """Say what is wrong with an RFC 1123 label."""
    wrong = [_long(63)] if len(name) > 63 else []
    return wrong if re.fullmatch(_LABEL, name) else [*wrong, _LABEL_TEXT]


def dns_subdomain(name: str) -> list[str]:
    """Say what is wrong with an RFC 1123 subdomain."""
    wrong = [_long(253)] if len(name) > 253 else []
    return wrong if re.fullmatch(_SUBDOMAIN, name) else [*wrong, _SUBDOMAIN_TEXT]


def dns_1035(name: str) -> list[str]:
    """Say what is wrong with an RFC 1035 label."""
    wrong = [_long(63)] if len(name) > 63 else []
    return wrong if re.fullmatch(_DNS1035, name) else [*wrong, _DNS1035_TEXT]


def path_segment(name: str) -> list[str]:
    """Say what is wrong with a name that must only fit into a URL path."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{char}'" for char in "/%" if char in name]


def qualified_name(key: str) -> list[str]:
    """Say what is wrong with a label or annotation key."""
    prefix, slash, name = key.rpartition("/")
    if slash and "/" in prefix:
        return [
            f"a valid label key {_QUALIFIED_TEXT.replace('name part ', '')} with an optional DNS "
            "subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    wrong = []
    if slash:
        if not prefix:
            wrong.append("prefix part must be non-empty")
        else:
            wrong += [f"prefix part {text}" for text in dns_subdomain(prefix)]
    if not name:
        wrong.append("name part must be non-empty")
    elif len(name) > 63:
        wrong.append(f"name part {_long(63)}")
    if not re.fullmatch(_QUALIFIED, name):
        wrong.append(_QUALIFIED_TEXT)
    return wrong


def _label_value(value: str) -> list[str]:
    wrong = [_long(63)] if len(value) > 63 else []
    return wrong if re.fullmatch(_VALUE, value) else [*wrong, _VALUE_TEXT]


_NAMES: Mapping[str, Callable[[str], list[str]]] = {
    "namespaces": dns_label,
    "services": dns_1035,
    **{
        f"{plural}.rbac.authorization.k8s.io": path_segment
        for plural in ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
    },
}


def check_metadata(resource: str, obj: Object, old: Object | None) -> Iterator[Cause]:
    """Check the metadata of any object, and what of it may not change."""
    metadata = obj.get("metadata") or {}
    if old is None:
        yield from _check_name(resource, metadata)
    else:
        yield from _check_unchanged(metadata, old.get("metadata") or {})
    yield from check_labels(metadata.get("labels"), "metadata.labels")
    yield from _check_annotations(metadata.get("annotations"), "metadata.annotations")
    yield from _check_owners(metadata.get("ownerReferences") or ())
    for finalizer in metadata.get("finalizers") or ():
        for text in qualified_name(finalizer):
            yield invalid("metadata.finalizers", finalizer, text)


def _check_name(resource: str, metadata: Object) -> Iterator[Cause]:
    check = _NAMES.get(resource, dns_subdomain)
    prefix, name = metadata.get("generateName"), metadata.get("name")
    if prefix:
        # A prefix may end in a dash, which the generated suffix follows.
        for text in check(re.sub(r"-$", "a", prefix)):
            yield invalid("metadata.generateName", prefix, text)
    if not name:
        yield required("metadata.name", "name or generateName is required")
    else:
        for text in check(name):
            yield invalid("metadata.name", name, text)


def _check_unchanged(metadata: Object, before: Object) -> Iterator[Cause]:
    for key in ("name", "namespace", "uid", "creationTimestamp"):
        if key in metadata and metadata[key] != before.get(key):
            yield invalid(f"metadata.{key}", metadata.get(key), "field is immutable")
    if before.get("deletionTimestamp"):
        known = before.get("finalizers") or ()
        new = [name for name in metadata.get("finalizers") or () if name not in known]
        if new:
            names = ", ".join(f'"{name}"' for name in sorted(new))
            yield forbidden(
                "metadata.finalizers",
                "no new finalizers can be added if the object is being deleted, found new "
                f"finalizers []string{{{names}}}",
            )


def check_labels(labels: Any, path: str) -> Iterator[Cause]:
    """Check label keys and values."""
    for key, value in (labels or {}).items():
        for text in qualified_name(key):
            yield invalid(path, key, text)
        for text in _label_value(value or ""):
            yield invalid(path, value, text)


def _check_annotations(annotations: Any, path: str) -> Iterator[Cause]:
    size = 0
    for key, value in (annotations or {}).items():
        size += len(key.encode()) + len((value or "").encode())
        for text in qualified_name(key.lower()):
            yield invalid(path, key, text)
    if size > _ANNOTATIONS_LIMIT:
        message = f"Too long: may not be more than {_ANNOTATIONS_LIMIT} bytes"
        yield Cause("FieldValueTooLong", message, path)


def _check_owners(owners: Any) -> Iterator[Cause]:
    controllers = 0
    for index, owner in enumerate(owners):
        path = f"metadata.ownerReferences[{index}]"
        if not owner.get("apiVersion"):
            yield invalid(f"{path}.apiVersion", "", "version must not be empty")
        for key in ("kind", "name", "uid"):
            if not owner.get(key):
                yield invalid(f"{path}.{key}", owner.get(key, ""), "must not be empty")
        controllers += bool(owner.get("controller"))
    if controllers > 1:
        first, second = [owner["name"] for owner in owners if owner.get("controller")][:2]
        yield invalid(
            "metadata.ownerReferences",
            list(owners),
            'Only one reference can have Controller set to true. Found "true" in references for '
            f"{first} and {second}",
        )


_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


def check_selector(selector: Any, path: str) -> Iterator[Cause]:
    """Check a label selector."""
    for key, value in ((selector or {}).get("matchLabels") or {}).items():
        for text in qualified_name(key):
            yield invalid(f"{path}.matchLabels", key, text)
        for text in _label_value(value or ""):
            yield invalid(f"{path}.matchLabels", value, text)
    for index, wanted in enumerate((selector or {}).get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{index}]"
        operator, values = wanted.get("operator"), wanted.get("values") or []
        if operator not in _OPERATORS:
            yield invalid(f"{where}.operator", operator or "", "not a valid selector operator")
        elif operator in ("In", "NotIn") and not values:
            detail = "must be specified when `operator` is 'In' or 'NotIn'"
            yield required(f"{where}.values", detail)
        elif operator in ("Exists", "DoesNotExist") and values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield forbidden(f"{where}.values", detail)


def one_of(field: str, value: Any, allowed: tuple[str, ...]) -> Iterator[Cause]:
    """Yield a cause if a value is set and not one of the allowed ones."""
    if value is not None and value not in allowed:
        yield not_supported(field, value, sorted(allowed))
