"""The rehearsal's API server answers as a real one does, interaction by interaction."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from runbook.rehearsal import Twin

FILE = Path(__file__).with_name("interactions.yaml")
INTERACTIONS = [e for e in yaml.safe_load(FILE.read_text()) if "request" in e]
TYPES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json-patch": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
PATIENCE_SECONDS = 20.0
UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    raw: bytes

    @property
    def body(self) -> Any:
        try:
            return json.loads(self.raw)
        except ValueError:
            return self.raw.decode()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.raw.splitlines()]


@dataclass
class Replay:
    """Makes the interactions and remembers what they ask to keep."""

    twin: Twin
    kept: dict[str, str] = field(default_factory=dict)

    def run(self, entry: dict[str, Any]) -> list[str]:
        """Make one interaction and say what is wrong with its answer."""
        end = time.monotonic() + (PATIENCE_SECONDS if entry.get("settles") else 0)
        while True:
            answer = self.ask(entry)
            wrong = problems(entry, answer, self.fill)
            if not wrong or time.monotonic() >= end:
                break
            time.sleep(0.1)
        for name, path in entry.get("keep", {}).items():
            value = answer.body
            for step in path.split("."):
                value = value[int(step)] if isinstance(value, list) else value[step]
            self.kept[name] = value
        return wrong

    def ask(self, entry: dict[str, Any]) -> Answer:
        if "meanwhile" not in entry:
            return self.send(entry)
        others = threading.Thread(target=lambda: [self.send(e) for e in entry["meanwhile"]])
        others.start()
        answer = self.send(entry)
        others.join()
        return answer

    def send(self, entry: dict[str, Any]) -> Answer:
        method, path = self.fill(entry["request"]).split(" ", 1)
        headers = {
            "Accept": entry.get("accept", "application/json"),
            "User-Agent": "python-requests/2",
        }
        token = {"wrong": "nobody's", "none": ""}.get(entry.get("token", ""), self.token)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if "as" in entry:
            headers["Impersonate-User"] = entry["as"]
        body = entry.get("body")
        if body is not None:
            kind = entry.get("type", "application/json")
            headers["Content-Type"] = TYPES.get(kind, kind)
            body = self.fill(body if isinstance(body, str) else json.dumps(body))
        connection = http.client.HTTPSConnection(
            urlsplit(self.twin.url).netloc, context=self.tls, timeout=30
        )
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def fill(self, text: str) -> str:
        for name, value in self.kept.items():
            text = text.replace("{" + name + "}", value)
        return text

    @property
    def config(self) -> dict[str, Any]:
        return json.loads(self.twin.kubeconfig.read_text())

    @property
    def token(self) -> str:
        return self.config["users"][0]["user"]["token"]

    @property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.twin.directory / "tls" / "ca.crt"))


def problems(entry: dict[str, Any], answer: Answer, fill: Any) -> list[str]:
    """Compare an answer with what is expected."""
    found = []
    if answer.status != entry["status"]:
        found.append(f"status {answer.status}: {answer.raw[:500].decode()}")
    media = entry.get("media", "application/json")
    if answer.headers["Content-Type"] != media:
        found.append(f"media type {answer.headers['Content-Type']}")
    if answer.headers["Warning"] != entry.get("warning"):
        found.append(f"warning {answer.headers['Warning']}")
    if "text" in entry and answer.body != entry["text"]:
        found.append(f"text {answer.body!r}")
    if "refused" in entry:
        found += refusal(entry, answer.body, fill)
    if "shape" in entry:
        found += differences(entry["shape"], shape(answer.body))
    if "columns" in entry:
        definitions = answer.body.get("columnDefinitions", [])
        columns = [[c["name"], c["type"], c["format"], c["priority"]] for c in definitions]
        if columns != entry["columns"]:
            found.append(f"columns {columns}")
    if "events" in entry:
        found += watched(entry, answer)
    return found


def refusal(entry: dict[str, Any], body: Any, fill: Any) -> list[str]:
    wanted = json.loads(fill(json.dumps(entry["refused"])))
    frame = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    wanted = {**frame, **wanted, "code": entry["status"]}
    return [] if body == wanted else [f"refused with {json.dumps(body)}"]


def watched(entry: dict[str, Any], answer: Answer) -> list[str]:
    types = [event["type"] for event in answer.events]
    if types != entry["events"]:
        return [f"events {types}"]
    pairs = zip(entry["shapes"], answer.events, strict=True)
    return [text for wanted, event in pairs for text in differences(wanted, shape(event["object"]))]


def shape(value: Any) -> Any:
    """Reduce a JSON value to its keys and types; a list to what its items have together."""
    if isinstance(value, dict):
        return {UID.sub("UID", key): shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [together([shape(item) for item in value])] if value else []
    if isinstance(value, bool):
        return "bool"
    if value is None:
        return None
    return "num" if isinstance(value, int | float) else "str"


def together(shapes: list[Any]) -> Any:
    if all(isinstance(s, dict) for s in shapes):
        keys = dict.fromkeys(key for s in shapes for key in s)
        return {key: together([s[key] for s in shapes if key in s]) for key in keys}
    if all(isinstance(s, list) for s in shapes):
        items = [item for s in shapes for item in s]
        return [together(items)] if items else []
    kinds = sorted({str(s) for s in shapes})
    return kinds[0] if len(kinds) == 1 else f"any of {', '.join(kinds)}"


def differences(wanted: Any, found: Any, path: str = "") -> Iterator[str]:
    if wanted == "any" or wanted == found:
        return
    if isinstance(wanted, dict) and isinstance(found, dict):
        yield from (f"{path}.{key} is missing" for key in wanted if key not in found)
        yield from (f"{path}.{key} is new" for key in found if key not in wanted)
        for key in wanted.keys() & found.keys():
            yield from differences(wanted[key], found[key], f"{path}.{key}")
    elif isinstance(wanted, list) and isinstance(found, list) and wanted and found:
        yield from differences(wanted[0], found[0], f"{path}[]")
    else:
        yield f"{path} is {found}, not {wanted}"


@pytest.fixture(scope="module")
def wrong() -> list[list[str]]:
    """Make all interactions in their order on an empty cluster, once."""
    with Twin(content=False, kubelet=False) as twin:
        replay = Replay(twin)
        return [replay.run(entry) for entry in INTERACTIONS]


@pytest.mark.parametrize("number", range(len(INTERACTIONS)), ids=[e["title"] for e in INTERACTIONS])
def test_answers_as_a_real_server(wrong: list[list[str]], number: int) -> None:
    assert wrong[number] == []


def test_a_difference_is_seen() -> None:
    assert list(differences({"a": "str"}, shape({"a": 1}))) == [".a is num, not str"]
    assert list(differences({"a": "str"}, shape({}))) == [".a is missing"]
    assert list(differences({}, shape({"b": None}))) == [".b is new"]
    assert list(differences(["str"], shape([{"c": "x"}]))) == ["[] is {'c': 'str'}, not str"]
