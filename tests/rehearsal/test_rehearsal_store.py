from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.rehearsal.apiserver.store import Change, Store, TooOldError

TABLE = ("", "configmaps")


def obj(name: str, namespace: str = "a", **data: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "data": data}


def test_every_write_gets_the_next_revision() -> None:
    store = Store()
    first = store.put(TABLE, obj("x"))
    second = store.put(TABLE, obj("x", k="v"))
    revisions = [int(o["metadata"]["resourceVersion"]) for o in (first, second)]
    assert revisions == [store.revision - 1, store.revision]
    assert store.get(TABLE, "a", "x") == second


def test_writing_does_not_change_what_was_given() -> None:
    given_object = obj("x")
    Store().put(TABLE, given_object)
    assert "resourceVersion" not in given_object["metadata"]


def test_lists_are_in_the_order_of_namespace_slash_name() -> None:
    store = Store()
    for namespace, name in (("a-b", "x"), ("a", "y"), ("a", "b")):
        store.put(TABLE, obj(name, namespace))
    places = [
        "/".join((o["metadata"]["namespace"], o["metadata"]["name"])) for o in store.list(TABLE)
    ]
    assert places == sorted(places)
    assert [o["metadata"]["name"] for o in store.list(TABLE, "a")] == ["b", "y"]


def test_a_removed_object_carries_the_revision_of_its_removal() -> None:
    store = Store()
    store.put(TABLE, obj("x"))
    gone = store.remove(TABLE, "a", "x")
    assert gone["metadata"]["resourceVersion"] == str(store.revision)
    assert store.get(TABLE, "a", "x") is None


def test_changes_since_a_revision() -> None:
    store = Store()
    start = store.revision
    store.put(TABLE, obj("x"))
    store.put(("", "secrets"), obj("s"))
    store.remove(TABLE, "a", "x")
    changes = list(store.since(TABLE, start))
    assert [(c.before is None, c.after is None) for c in changes] == [(True, False), (False, True)]
    assert list(store.since(TABLE, store.revision)) == []


def test_history_is_bounded() -> None:
    store = Store(history=3)
    start = store.revision
    for number in range(5):
        store.put(TABLE, obj(f"x{number}"))
    with pytest.raises(TooOldError):
        store.since(TABLE, start)
    with pytest.raises(TooOldError):
        store.list_at(TABLE, "", start)
    assert len(list(store.since(TABLE, store.revision - 3))) == 3


def test_listeners_hear_until_they_stop() -> None:
    store = Store()
    heard: list[Change] = []
    stop = store.subscribe(heard.append)
    store.put(TABLE, obj("x"))
    stop()
    store.put(TABLE, obj("y"))
    assert [change.slot for change in heard] == [("a", "x")]


def test_a_snapshot_restores_objects_and_revision() -> None:
    store = Store()
    store.put(TABLE, obj("x"))
    other = Store()
    other.restore(store.snapshot())
    assert other.list(TABLE) == store.list(TABLE)
    assert other.revision == store.revision
    with pytest.raises(TooOldError):
        other.since(TABLE, store.revision - 1)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=20), st.integers(0, 20))
def test_lists_of_the_past_are_what_they_were(writes: list[tuple[str, bool]], moment: int) -> None:
    store = Store()
    past: list[tuple[int, list[dict[str, Any]]]] = [(store.revision, [])]
    for name, keep in writes:
        if keep:
            store.put(TABLE, obj(name))
        elif store.get(TABLE, "a", name) is not None:
            store.remove(TABLE, "a", name)
        past.append((store.revision, store.list(TABLE)))
    revision, objects = past[min(moment, len(past) - 1)]
    assert store.list_at(TABLE, "a", revision) == objects
