"""What a pod mounts and reads from its environment, and what of it is missing."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping

from runbook.rehearsal.client import Object
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.cache import Cache

__all__ = ["MissingError", "environment", "files", "references", "unmounted"]

_REFERENCES = {
    "configMapKeyRef": "ConfigMap",
    "configMapRef": "ConfigMap",
    "secretKeyRef": "Secret",
    "secretRef": "Secret",
}
_VARIABLE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")


class MissingError(Exception):
    """A ConfigMap, a Secret or a key of one does not exist; the text is the kubelet's."""


def references(pod: Object) -> set[tuple[str, str]]:
    """Give kind and name of every ConfigMap and Secret a pod refers to."""
    spec = pod["spec"]
    result: set[tuple[str, str]] = set()
    for volume in spec.get("volumes") or []:
        sources = (volume.get("projected") or {}).get("sources") or [volume]
        for source in sources:
            if "configMap" in source:
                result.add(("ConfigMap", source["configMap"].get("name", "")))
            if "secret" in source:
                found = source["secret"]
                result.add(("Secret", found.get("secretName") or found.get("name", "")))
    for container in _containers(pod):
        sources = [entry.get("valueFrom") or {} for entry in container.get("env") or []]
        for source in [*sources, *(container.get("envFrom") or [])]:
            for field, kind in _REFERENCES.items():
                if field in source:
                    result.add((kind, source[field].get("name", "")))
    return result


def unmounted(pod: Object, cache: Cache) -> list[tuple[str, str]]:
    """Give volume name and reason for every volume that cannot be set up."""
    result = []
    for volume in pod["spec"].get("volumes") or []:
        try:
            _contents(pod, volume, cache)
        except MissingError as error:
            result.append((volume["name"], str(error)))
    return result


def files(pod: Object, container: Object, cache: Cache) -> dict[str, dict[str, bytes]]:
    """Give what a container sees at each of its mount paths, by file name.

    Raises:
        MissingError: A volume refers to something that does not exist.
    """
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or []}
    result: dict[str, dict[str, bytes]] = {}
    for mount in container.get("volumeMounts") or []:
        volume = volumes.get(mount["name"])
        if volume is not None:
            result[mount["mountPath"].rstrip("/")] = _contents(pod, volume, cache)
    return result


def environment(pod: Object, container: Object, cache: Cache) -> dict[str, str]:
    """Resolve the environment of a container.

    Raises:
        MissingError: A reference leads nowhere.
    """
    namespace = pod["metadata"]["namespace"]
    result: dict[str, str] = {}
    for entry in container.get("envFrom") or []:
        for kind, field in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if field in entry:
                data = _data(kind, entry[field], namespace, cache) or {}
                prefix = entry.get("prefix", "")
                result.update({f"{prefix}{k}": v.decode() for k, v in data.items()})
    for entry in container.get("env") or []:
        value = entry.get("value")
        if value is None:
            value = _value(pod, entry.get("valueFrom") or {}, namespace, cache)
        if value is not None:
            result[entry["name"]] = _expand(value, result)
    return result


def _expand(value: str, known: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: known.get(found[1], found[0]), value)


def _value(pod: Object, source: Object, namespace: str, cache: Cache) -> str | None:
    if "fieldRef" in source:
        return _field(pod, source["fieldRef"]["fieldPath"])
    for kind, field in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
        if field not in source:
            continue
        reference = source[field]
        data = _data(kind, reference, namespace, cache)
        if data is not None and reference["key"] in data:
            return data[reference["key"]].decode()
        if reference.get("optional"):
            return None
        raise MissingError(
            f"couldn't find key {reference['key']} in {kind} {namespace}/{reference['name']}"
        )
    return ""


def _field(pod: Object, path: str) -> str:
    if path == "status.podIPs":
        path = "status.podIP"
    labelled = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    if labelled:
        return str((pod["metadata"].get(labelled[1]) or {}).get(labelled[2], ""))
    value: object = pod
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return "" if value is None else str(value)


def _contents(pod: Object, volume: Object, cache: Cache) -> dict[str, bytes]:
    namespace = pod["metadata"]["namespace"]
    if "projected" in volume:
        result: dict[str, bytes] = {}
        for source in volume["projected"].get("sources") or []:
            result.update(_projection(pod, source, namespace, cache))
        return result
    return _projection(pod, volume, namespace, cache)


def _projection(pod: Object, source: Object, namespace: str, cache: Cache) -> dict[str, bytes]:
    if "configMap" in source:
        return _selected("ConfigMap", source["configMap"], namespace, cache)
    if "secret" in source:
        return _selected("Secret", source["secret"], namespace, cache)
    if "downwardAPI" in source:
        items = source["downwardAPI"].get("items") or []
        return {
            item["path"]: _field(pod, item["fieldRef"]["fieldPath"]).encode()
            for item in items
            if "fieldRef" in item
        }
    return {}


def _selected(kind: str, source: Object, namespace: str, cache: Cache) -> dict[str, bytes]:
    named = {**source, "name": source.get("secretName") or source.get("name", "")}
    data = _data(kind, named, namespace, cache)
    if data is None:
        return {}
    items = source.get("items")
    if not items:
        return data
    result = {}
    for item in items:
        if item["key"] in data:
            result[item["path"]] = data[item["key"]]
        elif not source.get("optional"):
            word = "config" if kind == "ConfigMap" else "secret"
            raise MissingError(f"references non-existent {word} key: {item['key']}")
    return result


def _data(kind: str, reference: Object, namespace: str, cache: Cache) -> dict[str, bytes] | None:
    """Give the data of a ConfigMap or Secret; None when it is optional and absent."""
    resource = kinds.CONFIGMAPS if kind == "ConfigMap" else kinds.SECRETS
    name = reference.get("name", "")
    found = cache.get(resource, name, namespace)
    if found is None:
        if reference.get("optional"):
            return None
        raise MissingError(f'{kind.lower()} "{name}" not found')
    decode: Callable[[str], bytes] = b64decode if kind == "Secret" else str.encode
    result = {key: decode(value) for key, value in (found.get("data") or {}).items()}
    extra = found.get("binaryData") or {}
    return {**result, **{key: b64decode(value) for key, value in extra.items()}}


def _containers(pod: Object) -> Iterable[Object]:
    yield from pod["spec"].get("initContainers") or []
    yield from pod["spec"]["containers"]
