"""How Grafana takes up dashboards from a directory, and what it says of those it does not take."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["Dashboard", "Provisioner", "log"]

_PROVIDER = "sidecarProvider"
_OWN = {"type": "file", "name": _PROVIDER}

Stamp = tuple[int, int, int]


def log(logger: str, level: str, text: str, **fields: object) -> None:
    """Say something in the format of Grafana.

    Args:
        logger: Who says it.
        level: ``info``, ``warn`` or ``error``.
        text: What is said.
        fields: More of it; ``type`` and ``name`` belong to the logger and come first.
    """
    first: dict[str, object] = {key: fields.pop(key) for key in ("type", "name") if key in fields}
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    parts: dict[str, object] = (
        {"logger": logger} | first | {"t": stamp, "level": level, "msg": text} | fields
    )
    print(" ".join(f"{key}={_quoted(str(value))}" for key, value in parts.items()), flush=True)


def _quoted(text: str) -> str:
    plain = text and not any(letter in text for letter in ' "=\n')
    return text if plain else json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True)
class Dashboard:
    """A dashboard that was read from a file.

    Args:
        file: Its file, below the directory.
        uid: Its uid.
        title: Its title.
        data: Its JSON, decoded.
    """

    file: str
    uid: str
    title: str
    data: dict[str, Any] = field(repr=False, compare=False)


class Provisioner:
    """Takes up the dashboards of a directory.

    As Grafana does, it saves nothing at all while two of them share a uid, or a title in one
    folder: what it had saved before stays as it was. Grafana notices such a pair within 30 s, and
    may have saved one of the two before.

    Args:
        directory: Where the files are.
        shown: What the directory is called.
    """

    def __init__(self, directory: Path, shown: str) -> None:
        self._directory, self._shown = directory, shown
        self._seen: dict[str, Stamp] = {}
        self._saved: dict[str, Dashboard] = {}

    @property
    def dashboards(self) -> list[Dashboard]:
        """Give what is saved, by title."""
        return sorted(self._saved.copy().values(), key=lambda one: one.title)

    def look(self) -> None:
        """Take up what has changed since the last time."""
        found = dict(self._files())
        if found == self._seen:
            return
        self._seen = found
        read = [one for file in sorted(found) if (one := self._read(file)) is not None]
        if self._duplicates(read):
            self._saved = {file: one for file, one in self._saved.items() if file in found}
        else:
            self._saved = {one.file: one for one in read}
        log("provisioning.dashboard", "info", "finished to provision dashboards")

    def _files(self) -> Iterable[tuple[str, Stamp]]:
        for path in self._directory.rglob("*.json"):
            file = path.relative_to(self._directory)
            if not any(part.startswith(".") for part in file.parts) and path.is_file():
                stat = path.stat()
                yield str(file), (stat.st_ino, stat.st_mtime_ns, stat.st_size)

    def _read(self, file: str) -> Dashboard | None:
        try:
            data = json.loads((self._directory / file).read_bytes())
            if not isinstance(data, dict):
                raise ValueError("json: cannot unmarshal value into an object")
            title = str(data.get("title") or "")
            if not title:
                raise ValueError("Dashboard title cannot be empty")
        except FileNotFoundError:  # it has just gone
            return None
        except ValueError as error:
            shown = f"{self._shown}/{file}"
            log(
                "provisioning.dashboard", "error", "failed to load dashboard from ",
                **_OWN, file=shown, error=error,
            )  # fmt: skip
            return None
        before = self._saved.get(file)
        uid = data.get("uid") or (before.uid if before else secrets.token_hex(7))
        return Dashboard(file, str(uid), title, {**data, "uid": str(uid)})

    def _duplicates(self, read: list[Dashboard]) -> bool:
        """Say what is there more than once, and tell whether there is any such thing."""
        uids = {uid: n for uid, n in Counter(one.uid for one in read).items() if n > 1}
        places = Counter((str(Path(one.file).parent), one.title) for one in read)
        titles = {place: n for place, n in places.items() if n > 1}
        common = {"providers": f"[{_PROVIDER}]"}
        logger = "provisioning.dashboard"
        for uid, times in uids.items():
            text = "the same UID is used more than once"
            log(logger, "warn", text, orgId=1, uid=uid, times=times, **common)
        for (folder, title), times in titles.items():
            text = "dashboard title is not unique in folder"
            log(logger, "warn", text, orgId=1, title=title, folderID=folder, times=times, **common)
        if uids or titles:
            text = (
                "dashboards provisioning provider has no database write permissions because of "
                "duplicates"
            )
            log(logger, "warn", text, provider=_PROVIDER, orgId=1)
        return bool(uids or titles)
