"""The working copy: set to the chosen cluster, holding no secret, and opened on its index."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from runbook import lab
from runbook.errors import ParameterError
from runbook.lab import command, copy, settings
from runbook.notebooks import INDEX, NOTEBOOKS, source
from runbook.params import load

BOOKS = (INDEX, *NOTEBOOKS)


def parameters(folder: Path, name: str) -> dict[str, Any]:
    """Give the values in a copy's cell of parameters."""
    notebook = json.loads((folder / f"{name}.ipynb").read_text(encoding="utf-8"))
    (cell,) = [c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", [])]
    nodes = ast.parse("".join(cell["source"])).body
    return {node.target.id: ast.literal_eval(node.value) for node in nodes}


def test_without_parameters_it_is_a_plain_copy(tmp_path: Path) -> None:
    assert settings({}) == {}
    folder = copy(tmp_path)
    assert sorted(path.stem for path in folder.iterdir()) == sorted(book.name for book in BOOKS)
    for book in BOOKS:
        assert (folder / f"{book.name}.ipynb").read_bytes() == source(book).read_bytes()


def test_every_notebook_is_set_to_what_was_chosen(tmp_path: Path) -> None:
    chosen = {"cluster": "pi", "line": "edge-2.19", "timeout": 60, "values": {"a": {"b": True}}}
    folder = copy(tmp_path, settings(chosen))
    for book in BOOKS:
        found = parameters(folder, book.name)
        assert found.items() >= chosen.items(), book.name
        assert tuple(found)[: len(book.parameters)] == book.parameters, "their order stays"
        assert found.get("mode", "plan") == "plan"
    assert "mode" not in parameters(folder, "index")


def test_a_filled_copy_differs_from_the_template_in_its_parameters_alone(tmp_path: Path) -> None:
    folder = copy(tmp_path, {"cluster": "pi", "helm": "cli"})
    for book in BOOKS:
        before = json.loads(source(book).read_text(encoding="utf-8"))
        after = json.loads((folder / f"{book.name}.ipynb").read_text(encoding="utf-8"))
        for notebook in (before, after):
            for cell in notebook["cells"]:
                if "parameters" in cell["metadata"].get("tags", []):
                    cell["source"] = []
        assert before == after


@pytest.mark.parametrize(
    ("given", "mode"),
    [
        ({}, None),
        ({"cluster": "rehearsal", "timeout": 5}, None),
        ({"cluster": "pi"}, "plan"),
        ({"cluster": "pi", "mode": "apply"}, "apply"),
        ({"cluster": "pi", "mode": "verify"}, "verify"),
    ],
)
def test_a_cluster_of_yours_is_planned_for_unless_you_say_else(
    given: dict[str, Any], mode: str | None
) -> None:
    assert settings(given).get("mode") == mode


@pytest.mark.parametrize(
    "given",
    [
        {"values": {"password": "hunter-of-snarks"}},
        {"values": {"deep": ["-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\n"]}},
        {"chart_source": "https://user:hunter-of-snarks@charts.example.org"},
    ],
)
def test_a_secret_is_refused_and_not_repeated(given: dict[str, Any]) -> None:
    with pytest.raises(ParameterError) as caught:
        settings(given)
    assert "hunter" not in str(caught.value)
    assert "secret:NAMESPACE/NAME/KEY" in caught.value.fix
    reference = {"values": {"password": "env:PASSWORD"}}
    assert settings(reference) == reference


def test_relative_paths_hold_from_the_copy_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "charts").mkdir()
    given = {"cluster": "pi", "kubeconfig": f"k3s.yaml{os.pathsep}/etc/k", "chart_source": "charts"}
    chosen = settings(given)
    assert chosen["kubeconfig"] == f"{tmp_path / 'k3s.yaml'}{os.pathsep}/etc/k"
    assert chosen["chart_source"] == str(tmp_path / "charts")
    elsewhere = settings({"chart_source": "https://charts.example.org/edge"})
    assert elsewhere["chart_source"] == "https://charts.example.org/edge"


def test_a_wrong_parameter_is_refused_before_anything_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab, "home", lambda: tmp_path)
    with pytest.raises(ParameterError, match="lien"):
        settings(load((), {"lien": "edge-2.19"}))
    assert not list(tmp_path.iterdir())


# The command with records elsewhere than in this clone.
START = """
import sys
from pathlib import Path
from runbook import lab, cli
lab.home = lambda: Path(sys.argv[1])
sys.exit(cli._status(sys.argv[2:]))
"""


def test_jupyterlab_opens_on_the_index_of_the_copy(tmp_path: Path) -> None:
    """The real server: started by the command, asked, and stopped as by Ctrl-C."""
    runtime = tmp_path / "runtime"
    directories = {
        f"JUPYTER_{name}_DIR": str(tmp_path / name.lower()) for name in ("CONFIG", "DATA")
    }
    environment = {
        **os.environ,
        **directories,
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "RUNBOOK_REHEARSAL_DIR": str(tmp_path / "rehearsal"),
    }
    options = ["--cluster", "pi", "--no-browser", "--", "--allow-root", "--ServerApp.port=0"]
    server = subprocess.Popen(
        [sys.executable, "-c", START, str(tmp_path), "lab", *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        about = wait_for(runtime / f"jpserver-{server.pid}.json", server)
        (folder,) = (tmp_path / "outputs").iterdir()
        assert about["root_dir"] == str(folder)
        listed = ask(about, "api/contents")
        names = {entry["name"] for entry in listed["content"]}
        assert names == {f"{book.name}.ipynb" for book in BOOKS}
        opened = urllib.request.Request(
            about["url"], headers={"Authorization": f"token {about['token']}"}
        )
        with urllib.request.urlopen(opened, timeout=20) as page:
            assert page.url.endswith("/lab/workspaces/runbook/tree/index.ipynb")
        first = ask(about, "api/contents/index.ipynb")["content"]["cells"][1]["source"]
        assert first.startswith('cluster: str = "pi"')
    finally:
        server.send_signal(signal.SIGTERM)
        said, _ = server.communicate(timeout=30)
    assert "set to pi, mode plan" in said
    assert server.returncode == 0


def wait_for(path: Path, server: subprocess.Popen[str]) -> dict[str, Any]:
    """Give what the server writes about itself once it listens."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and server.poll() is None:
        try:
            about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            ask(about, "api")
            return about
        except (OSError, ValueError):
            time.sleep(0.2)
    server.kill()
    pytest.fail(f"JupyterLab did not start: {server.communicate()[0]}")


def ask(about: dict[str, Any], path: str) -> Any:
    request = urllib.request.Request(
        about["url"] + path, headers={"Authorization": f"token {about['token']}"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def test_options_after_the_dashes_go_to_jupyterlab(tmp_path: Path) -> None:
    line = command(tmp_path, ["--no-browser", "--port=8899"])
    assert line[:3] == [sys.executable, "-m", "jupyterlab"]
    assert line[-2:] == ["--no-browser", "--port=8899"]
