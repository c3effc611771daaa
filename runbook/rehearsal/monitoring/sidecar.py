"""The stand-in for kiwigrid/k8s-sidecar: files for Grafana out of ConfigMaps and Secrets.

Its settings come from the environment, under the names of the real one. Standard library only.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from runbook.rehearsal.images.settings import Settings
from runbook.rehearsal.images.watching import Watch

__all__ = ["Sidecar"]

Object = dict[str, Any]

_ANNOTATION = "k8s-sidecar-target-directory"
_PLURALS = {"configmap": "configmaps", "secret": "secrets"}


@dataclass
class Sidecar:
    """Keeps files as the objects have them.

    Args:
        mounts: Directories by mount path.
        folder: Path of the directory to write to, as the container sees it.
        annotation: Annotation that names another directory.
    """

    mounts: Mapping[str, str]
    folder: str
    annotation: str
    _written: dict[tuple[str, str, str], set[PurePosixPath]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, resource: str, event: str, obj: Object) -> None:
        """Write the files of an object, and remove those that it no longer has.

        Args:
            resource: ``configmap`` or ``secret``.
            event: What happened to it.
            obj: The object.
        """
        meta = obj["metadata"]
        key = (resource, meta["namespace"], meta["name"])
        with self._lock:
            contents = {} if event == "DELETED" else self._contents(resource, obj)
            for path, (data, kind) in contents.items():
                self._write(path, data, kind)
            for path in self._written.pop(key, set()) - contents.keys():
                self._remove(path)
            if contents:
                self._written[key] = set(contents)

    def _contents(self, resource: str, obj: Object) -> dict[PurePosixPath, tuple[bytes, str]]:
        folder = self._destination(obj["metadata"])
        text, binary = obj.get("data") or {}, obj.get("binaryData") or {}
        if resource == "secret":
            text, binary = {}, text
        found = {name: (value.encode(), "ascii") for name, value in text.items()}
        found |= {name: (base64.b64decode(value), "binary") for name, value in binary.items()}
        if not found:
            _log("WARNING", f"No data/binaryData field in {resource}")
        return {folder / name: content for name, content in found.items()}

    def _destination(self, meta: Object) -> PurePosixPath:
        default = PurePosixPath(self.folder)
        named: str | None = (meta.get("annotations") or {}).get(self.annotation)
        if named is None:
            return default
        folder = default / named  # an absolute path replaces the first one
        _log(
            "INFO",
            f"Found a folder override annotation, placing the {meta['name']} in: {folder}",
        )
        return folder

    def _write(self, path: PurePosixPath, data: bytes, kind: str) -> None:
        real = self._real(path)
        if real is None:
            _log("ERROR", f"Error: insufficient privileges to create {path.parent}. "
                 f"Skipping {path.name}.")  # fmt: skip
            return
        if real.is_file() and real.read_bytes() == data:
            return
        _log("INFO", f"Writing {path} ({kind})")
        real.parent.mkdir(parents=True, exist_ok=True)
        fresh = real.with_name(f".{real.name}.new")
        fresh.write_bytes(data)
        fresh.replace(real)

    def _remove(self, path: PurePosixPath) -> None:
        real = self._real(path)
        if real is None or not real.is_file():
            _log("ERROR", f"Unable to remove {path}, file not found")
            return
        _log("INFO", f"Removing {path}")
        real.unlink()

    def _real(self, path: PurePosixPath) -> Path | None:
        """Give where a path really is; None outside of what is mounted."""
        for mount in sorted(self.mounts, key=len, reverse=True):
            if path.is_relative_to(mount) and ".." not in path.parts:
                return Path(self.mounts[mount]) / path.relative_to(mount)
        return None


def _log(level: str, text: str) -> None:
    stamp = datetime.now(UTC).isoformat()
    print(json.dumps({"time": stamp, "level": level, "msg": text}), flush=True)


def _watches(settings: Settings, sidecar: Sidecar, env: Mapping[str, str]) -> list[Watch]:
    label, value = env["LABEL"], env.get("LABEL_VALUE", "")
    asked = env.get("RESOURCE", "configmap")
    wanted = [*_PLURALS] if asked == "both" else [asked]
    spaces = (env.get("NAMESPACE") or settings.namespace).split(",")
    paths = ["" if space == "ALL" else f"/namespaces/{space}" for space in spaces]

    def watch(resource: str, path: str) -> Watch:
        return Watch(
            settings,
            f"/api/v1{path}/{_PLURALS[resource]}",
            lambda event, obj: sidecar.hear(resource, event, obj),
            agent="k8s-sidecar",
            selector=f"{label}={value}" if value else label,
        )

    return [watch(resource, path) for resource in wanted for path in paths]


def _main() -> None:
    settings = Settings.load()
    env = os.environ
    _log("INFO", "Starting collector (rehearsal: a stand-in for k8s-sidecar; it always watches)")
    annotation = env.get("FOLDER_ANNOTATION") or _ANNOTATION
    sidecar = Sidecar(settings.mounts, env["FOLDER"], annotation)
    for watch in _watches(settings, sidecar, env):
        watch.start()
    settings.tell_ready()
    sys.stdin.buffer.read()  # ends when the kubelet does, however that happens


if __name__ == "__main__":
    _main()
