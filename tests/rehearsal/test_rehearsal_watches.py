"""Watches, as a client reads them."""

from __future__ import annotations

import json
import threading
from http.client import HTTPResponse
from typing import Any

import pytest
from bare import CONFIGMAPS, MERGE, Api, config_map

WATCH = f"{CONFIGMAPS}?watch=true"


def read(answer: HTTPResponse, number: int) -> list[dict[str, Any]]:
    """Read so many events of an open watch."""
    return [json.loads(answer.readline()) for _ in range(number)]


def told(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(e["type"], e["object"]["metadata"].get("name", "")) for e in events]


def revision(api: Api) -> str:
    return str(api("GET", CONFIGMAPS).body["metadata"]["resourceVersion"])


def test_a_watch_without_revision_starts_with_what_is_there(api: Api) -> None:
    api("POST", CONFIGMAPS, config_map("there"))
    with api.open("GET", f"{WATCH}&fieldSelector=metadata.name%3Dthere") as answer:
        assert told(read(answer, 1)) == [("ADDED", "there")]
        api("DELETE", f"{CONFIGMAPS}/there")
        assert told(read(answer, 1)) == [("DELETED", "there")]


def test_a_watch_goes_on_from_a_revision(api: Api) -> None:
    start = revision(api)
    api("POST", CONFIGMAPS, config_map("past"))
    with api.open("GET", f"{WATCH}&resourceVersion={start}") as answer:
        assert told(read(answer, 1)) == [("ADDED", "past")]
        api("PATCH", f"{CONFIGMAPS}/past", {"data": {"a": "1"}}, MERGE)
        assert told(read(answer, 1)) == [("MODIFIED", "past")]


def test_one_object_can_be_watched_by_its_path(api: Api) -> None:
    start = revision(api)
    for name in ("one", "two"):
        api("POST", CONFIGMAPS, config_map(name))
    with api.open("GET", f"{CONFIGMAPS}/two?watch=1&resourceVersion={start}") as answer:
        assert told(read(answer, 1)) == [("ADDED", "two")]


def test_other_namespaces_and_resources_are_not_told(api: Api) -> None:
    start = revision(api)
    api("POST", "/api/v1/namespaces/kube-system/configmaps", config_map("elsewhere"))
    api("POST", "/api/v1/namespaces/default/secrets", {"metadata": {"name": "other"}})
    api("POST", CONFIGMAPS, config_map("here"))
    with api.open("GET", f"{WATCH}&resourceVersion={start}") as answer:
        assert told(read(answer, 1)) == [("ADDED", "here")]
    with api.open("GET", f"/api/v1/configmaps?watch=1&resourceVersion={start}") as answer:
        assert told(read(answer, 2)) == [("ADDED", "elsewhere"), ("ADDED", "here")]


def test_initial_events_end_with_a_bookmark(api: Api) -> None:
    label = {"labels": {"initial": "yes"}}
    api("POST", CONFIGMAPS, config_map("initial", metadata=label))
    query = (
        "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        "&labelSelector=initial"
    )
    with api.open("GET", f"{WATCH}&{query}") as answer:
        added, bookmark = read(answer, 2)
        assert (added["type"], bookmark["type"]) == ("ADDED", "BOOKMARK")
        annotations = bookmark["object"]["metadata"]["annotations"]
        assert annotations == {"k8s.io/initial-events-end": "true"}
        api("POST", CONFIGMAPS, config_map("later", metadata=label))
        assert told(read(answer, 1)) == [("ADDED", "later")]


def test_initial_events_need_a_match_rule(api: Api) -> None:
    answer = api("GET", f"{WATCH}&sendInitialEvents=true")
    assert answer.status == 422
    assert "requires setting resourceVersionMatch to NotOlderThan" in answer.message


def test_a_forgotten_revision_is_gone(api: Api) -> None:
    start = revision(api)
    api("POST", CONFIGMAPS, config_map("forgotten"))
    api.twin.api.store.compact()
    (event,) = api("GET", f"{WATCH}&resourceVersion={start}").events
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == (
        "ERROR", 410, "Expired",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json;as=Table;v=v1;g=meta.k8s.io", "Table"),
        ("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "PartialObjectMetadata"),
    ],
)
def test_forms_of_events(api: Api, accept: str, kind: str) -> None:
    start = revision(api)
    api("POST", CONFIGMAPS, config_map(f"form-{kind.lower()}"))
    with api.open("GET", f"{WATCH}&resourceVersion={start}", Accept=accept) as answer:
        (event,) = read(answer, 1)
    assert event["object"]["kind"] == kind


def test_dropped_watches_end(api: Api) -> None:
    ended = threading.Event()
    with api.open("GET", f"{WATCH}&resourceVersion={revision(api)}") as answer:
        reader = threading.Thread(target=lambda: (answer.read(), ended.set()))
        reader.start()
        while not ended.wait(0.05):
            api("POST", "/faults", {"kind": "drop-watches", "resource": "configmaps"})
        reader.join()


def test_a_client_that_leaves_is_forgotten(api: Api) -> None:
    with api.open("GET", f"{WATCH}&resourceVersion={revision(api)}"):
        assert api.twin.api.watches.count == 1
    deadline = threading.Event()
    for _ in range(200):
        if api.twin.api.watches.count == 0:
            break
        deadline.wait(0.02)
    assert api.twin.api.watches.count == 0
