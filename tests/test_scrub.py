"""What is taken out of everything that is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runbook import scrub
from runbook.params import Params
from runbook.scrub import scrubber


def test_paths_are_replaced_whole() -> None:
    scrub = scrubber(lambda value: value, {"/home/pi": "~", "/home/pi/clone": ".", "/": "no"})
    assert scrub({"/home/pi/a": ["/home/pi/clone/b", "/home/pirate", 1, None]}) == {
        "~/a": ["./b", "/home/pirate", 1, None]
    }


def test_paths_among_the_parameters_get_their_names(tmp_path: Path) -> None:
    params = Params(kubeconfig=str(tmp_path / "config"), chart_source="https://charts.example")
    assert scrub.local_paths(params) == {str(tmp_path / "config"): "<kubeconfig>"}


@pytest.mark.parametrize(
    "given", [{}, {"nonsense": 1}, {"cluster": "pi", "kubeconfig": "/no/such/file"}]
)
def test_a_notebook_alone_is_scrubbed_whatever_its_parameters_are(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RUNBOOK_REHEARSAL_DIR", str(tmp_path))
    clean = scrub.for_notebook(given)
    assert clean({"text": f"{Path.home()}/x\npassword: correct-horse"}) == {
        "text": "~/x\npassword: [redacted]"
    }
