"""Helm as a program: what it is told, and what is made of its answers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import chart_server
import pytest

from runbook.errors import ForbiddenError, HelmError
from runbook.helm import Release
from runbook.helm_cli import CliHelm
from runbook.holder import LABEL

PROGRAM = """#!{python}
import json, pathlib, sys
home = pathlib.Path({home!r})
asked = {{"args": sys.argv[1:], "stdin": sys.stdin.read()}}
with (home / "asked").open("a") as log:
    log.write(json.dumps(asked) + "\\n")
answers = json.loads((home / "answers").read_text())
for words, status, out in answers:
    if words in " ".join(sys.argv[1:]):
        (sys.stderr if status else sys.stdout).write(out)
        sys.exit(status)
sys.exit("unexpected: " + " ".join(sys.argv))
"""
META = {
    "name": "demo",
    "chart": "demo",
    "version": "1.0.0",
    "appVersion": "26.6",
    "namespace": "l5d",
    "revision": 3,
    "status": "deployed",
}
STORED = [
    ("get metadata", 0, json.dumps(META)),
    ("get values", 0, '{"colour": "red"}'),
    ("get manifest", 0, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: demo}\n"),
]


class FakeProgram:
    """A ``helm`` on the PATH that records what it is asked and answers by words."""

    def __init__(self, home: Path) -> None:
        self.home = home
        program = home / "helm"
        program.write_text(PROGRAM.format(python=sys.executable, home=str(home)))
        program.chmod(0o755)

    def answer(self, *answers: tuple[str, int, str]) -> None:
        (self.home / "answers").write_text(json.dumps(answers))

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.home / "asked").read_text().splitlines()]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeProgram:
    monkeypatch.setenv("PATH", str(tmp_path))
    return FakeProgram(tmp_path)


@pytest.fixture
def helm(program: FakeProgram) -> CliHelm:
    return CliHelm("/etc/kube", "pi")


@pytest.fixture
def demo(tmp_path: Path) -> Release:
    chart = chart_server.write(tmp_path / "charts")
    return Release("demo", "l5d", "demo", "1.0.0", str(chart), {"password": "s3cret"})


def test_no_helm_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HelmError, match="no helm on the PATH") as caught:
        CliHelm("k", "c")
    assert '"sdk"' in caught.value.fix


def test_every_call_names_cluster_and_namespace(program: FakeProgram, helm: CliHelm) -> None:
    program.answer(*STORED)
    helm.release("demo", "l5d")
    for call in program.asked:
        words = " ".join(call["args"])
        assert "--kube-context pi" in words
        assert "--kubeconfig /etc/kube" in words
        assert "--namespace l5d" in words


def test_several_kubeconfigs_are_left_to_the_environment(program: FakeProgram) -> None:
    program.answer(*STORED)
    CliHelm("/a:/b", "pi").release("demo", "l5d")
    assert "--kubeconfig" not in program.asked[0]["args"]


def test_release_is_read(program: FakeProgram, helm: CliHelm) -> None:
    program.answer(*STORED)
    found = helm.release("demo", "l5d")
    assert found is not None
    assert (found.revision, found.status, found.version) == (3, "deployed", "1.0.0")
    assert dict(found.values) == {"colour": "red"}
    assert [obj["kind"] for obj in found.objects] == ["ConfigMap"]


def test_absent_release(program: FakeProgram, helm: CliHelm) -> None:
    program.answer(("", 1, "Error: release: not found\n"))
    assert helm.release("demo", "l5d") is None
    assert helm.history("demo", "l5d") == []


def test_history_is_read(program: FakeProgram, helm: CliHelm) -> None:
    line = {"revision": 1, "status": "failed", "chart": "linkerd-crds-2026.6.3", "description": "x"}
    program.answer(("history", 0, json.dumps([line])))
    (found,) = helm.history("demo", "l5d")
    assert (found.chart, found.version, found.status) == ("linkerd-crds", "2026.6.3", "failed")


@pytest.mark.parametrize("verb", ["install", "upgrade"])
def test_deploy(program: FakeProgram, helm: CliHelm, demo: Release, verb: str) -> None:
    program.answer(("upgrade", 0, "{}"), *STORED)
    done = getattr(helm, verb)(demo, timeout=90)
    assert done.revision == 3
    call = program.asked[0]
    words = " ".join(call["args"])
    assert words.startswith("upgrade --install demo ")
    assert "--reset-values" in words
    assert "--timeout 90s" in words
    assert f"--labels {LABEL}=" in words
    assert "--wait" not in words, "the runbook waits itself"


def test_values_travel_by_standard_input(
    program: FakeProgram, helm: CliHelm, demo: Release
) -> None:
    program.answer(("upgrade", 0, "{}"), *STORED)
    helm.install(demo, timeout=90)
    call = program.asked[0]
    assert "s3cret" not in " ".join(call["args"])
    assert json.loads(call["stdin"]) == {"password": "s3cret"}
    assert "--values -" in " ".join(call["args"])


def test_render_is_a_dry_run_on_the_server(
    program: FakeProgram, helm: CliHelm, demo: Release
) -> None:
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"
    program.answer(("--dry-run=server", 0, json.dumps({"manifest": manifest})))
    assert [obj["kind"] for obj in helm.render(demo)] == ["ConfigMap"]


def test_render_without_the_kinds(program: FakeProgram, helm: CliHelm, demo: Release) -> None:
    program.answer(
        ("--dry-run=server", 1, 'Error: no matches for kind "Server" in version "x/v1"'),
        ("--dry-run=client", 0, json.dumps({"manifest": "kind: Server\nmetadata: {name: x}\n"})),
    )
    assert [obj["kind"] for obj in helm.render(demo)] == ["Server"]


def test_pull(program: FakeProgram, helm: CliHelm) -> None:
    program.answer(("pull", 1, 'Error: chart "demo" version "9" not found in https://c repository'))
    with pytest.raises(HelmError) as caught:
        helm.pull("demo", "9", "https://charts.example")
    assert "has no chart demo 9" in caught.value.why
    words = " ".join(program.asked[0]["args"])
    assert words.startswith("pull demo --repo https://charts.example --version 9 --destination")
    with pytest.raises(HelmError):
        helm.pull("demo", "9", "oci://r.example/charts")
    assert "pull oci://r.example/charts/demo --version 9" in " ".join(program.asked[1]["args"])


def test_rollback_and_uninstall(program: FakeProgram, helm: CliHelm) -> None:
    program.answer(("", 0, ""))
    helm.rollback("demo", "l5d", 2, timeout=30)
    helm.uninstall("demo", "l5d", timeout=30)
    first, second = (" ".join(call["args"]) for call in program.asked)
    assert first.startswith("rollback demo 2 --timeout 30s")
    assert second.startswith("uninstall demo --ignore-not-found --timeout 30s")


def test_errors_are_explained(program: FakeProgram, helm: CliHelm, demo: Release) -> None:
    text = (
        'Error: secrets is forbidden: User "jane" cannot create resource "secrets" in API group '
        '"" in the namespace "l5d"'
    )
    program.answer(("", 1, text))
    with pytest.raises(ForbiddenError, match="cannot create secrets in namespace l5d"):
        helm.install(demo, timeout=30)
