"""Secrets planted in a cluster, in parameters, errors and logs: none in any byte of a record.

Each place is tried twice: as it is, and with a redactor that does nothing, which shows that the
secrets do get there.
"""

from __future__ import annotations

import base64
import html
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from batch_place import Place
from secret_samples import CERTIFICATE, SAMPLES, Sample, jwt, word

from runbook import batch, rehearsal, scrub
from runbook.notebooks import NOTEBOOKS
from runbook.params import Params
from runbook.rehearsal.client import Client, Object
from runbook.rehearsal.controllers import kinds
from runbook.runner import Runner
from runbook.secrets import REDACTED, Redactor

pytestmark = pytest.mark.timeout(280)

BLIND = """
from runbook.secrets import Redactor
Redactor.text = Redactor.data = lambda self, value: value
"""
"""A ``sitecustomize`` module for every process of a run: nothing is redacted any more."""


def forms(secret: str) -> set[bytes]:
    """Give the forms of a secret that must not be found."""
    found = {
        *(secret, json.dumps(secret)[1:-1], html.escape(secret), html.escape(secret, quote=False)),
        *(quote(secret), quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1]),
    }
    content = secret.encode()
    for shift in range(3):  # as base64, at the three places it may have in a longer text
        encoded = base64.b64encode(bytes(shift) + content)
        found.add(encoded[-(-shift * 8 // 6) : (shift + len(content)) * 8 // 6].decode())
    return {form.encode() for form in found}


def found_in(content: bytes, secrets: list[str]) -> list[str]:
    """Give the secrets of which a content shows any form."""
    return [secret for secret in secrets if any(form in content for form in forms(secret))]


def contents(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Give the name and the content of every file below a directory."""
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        yield str(path.relative_to(directory)), path.read_bytes()


def parts(samples: tuple[Sample, ...]) -> list[str]:
    return [part for sample in samples for part in sample.parts]


@dataclass(frozen=True)
class Run:
    """What a command left: its files, and what it printed."""

    output: Path
    printed: bytes

    def everything(self) -> bytes:
        return b"\n".join([*(content for _, content in contents(self.output)), self.printed])


class Planted(Place):
    """A rehearsal cluster with secrets in it; runs go to one of two archives."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.blind = directory / "blind"
        self.blind.mkdir()
        (self.blind / "sitecustomize.py").write_text(BLIND)

    def client(self) -> Client:
        return Client.from_kubeconfig(self.rehearsal / "kubeconfig")

    def both(self, *arguments: str, status: int = 0) -> tuple[Run, Run]:
        """Run notebooks as they are, then without redaction."""
        return self._once("seeing", arguments, status), self._once("blind", arguments, status)

    def _once(self, name: str, arguments: tuple[str, ...], status: int) -> Run:
        output = self.output / f"{len(list(self.output.glob('*')))}-{name}"
        path = {"PYTHONPATH": str(self.blind)} if name == "blind" else {}
        done = subprocess.run(
            [*self.command(*arguments), "--output", str(output)],
            env=self.environment | path,
            capture_output=True,
            timeout=250,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert done.returncode == status, printed.decode()
        return Run(output, printed)

    @contextmanager
    def fault(self, **fault: Any) -> Iterator[None]:
        self.client().request("POST", "/faults", body=fault)
        try:
            yield
        finally:
            self.client().request("DELETE", "/faults")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    """A cluster that is installed up to the control plane."""
    kept = Planted(tmp_path_factory.mktemp("planted"))
    kept.output.mkdir()
    kept.start()
    yield kept
    rehearsal.down(kept.rehearsal)


@pytest.fixture(scope="module")
def installed(place: Planted) -> Planted:
    place.run("--until", "14")
    return place


def proved(run: Run, blind: Run, secrets: list[str]) -> None:
    """Prove that secrets were there to be found, and that none is left."""
    assert len(secrets) == len(found_in(blind.everything(), secrets))
    for name, content in contents(run.output):
        assert not found_in(content, secrets), name
    assert not found_in(run.printed, secrets), run.printed.decode()
    assert REDACTED.encode() in run.everything()


def test_there_is_enough_to_find() -> None:
    assert len(SAMPLES) >= 30
    assert len({sample.kind for sample in SAMPLES}) >= 10
    assert not set(parts(SAMPLES)) & {"", " "}


def said(samples: tuple[Sample, ...], between: str = "\n\n") -> str:
    return between.join(["it says", *(sample.text for sample in samples)])


def test_in_the_condition_of_a_certificate(place: Planted) -> None:
    place.run("--only", "10,11")
    samples = SAMPLES[:12]
    with place.fault(kind="never-ready", name="linkerd-identity-issuer", message=said(samples)):
        run, blind = place.both("--only", "12", status=3)
    proved(run, blind, parts(samples))
    assert found_in(blind.printed, parts(samples)), "the terminal tells the error"


def test_in_the_last_words_of_a_pod(installed: Planted) -> None:
    samples = SAMPLES[12:30]
    words = said(samples, " ; ")  # only the last lines of a log are shown
    with installed.fault(kind="crash", namespace="linkerd", message=words):
        run, blind = installed.both("--only", "15", "-p", "timeout=30", status=3)
    proved(run, blind, parts(samples))
    assert found_in(blind.printed, parts(samples))


def test_in_an_answer_of_the_api(installed: Planted) -> None:
    samples = SAMPLES[30:]
    refusal = {"kind": "api", "verb": "list", "resource": "pods", "status": 403}
    with installed.fault(**refusal, message=said(samples)):
        run, blind = installed.both("--only", "16", status=1)
    proved(run, blind, parts(samples))


def test_in_an_answer_before_there_is_a_record(place: Planted) -> None:
    samples = SAMPLES[30:45]
    refusal = {"kind": "api", "verb": "get", "resource": "namespaces", "status": 422}
    with place.fault(**refusal, message=said(samples)):
        run, blind = place.both("--only", "00", status=3)
    assert not run.output.exists()
    assert len(found_in(blind.printed, parts(samples))) == len(parts(samples))
    assert not found_in(run.printed, parts(samples)), run.printed.decode()


def test_in_parameters(installed: Planted, tmp_path: Path) -> None:
    secrets = {name: f"{name}-{word(9)}" for name in ("env", "file", "secret", "inline", "url")}
    installed.environment["RUNBOOK_TEST_PLANTED"] = secrets["env"]
    (tmp_path / "password").write_text(f"{secrets['file']}\n")
    secret = {"metadata": {"name": "given", "namespace": "linkerd"}}
    installed.client().create(kinds.SECRETS, secret | {"stringData": {"p": secrets["secret"]}})
    values = {
        "podAnnotations": {  # a value of the chart that may hold anything
            "adminPassword": secrets["inline"],
            "a": "env:RUNBOOK_TEST_PLANTED",
            "b": f"file:{tmp_path / 'password'}",
            "c": "secret:linkerd/given/p",
            "notes": f"see https://pi:{secrets['url']}@wiki.local and {secrets['inline']}",
        }
    }
    given = ("--only", "15", "--mode", "plan", "-p", f"values={json.dumps(values)}")
    run, blind = installed.both(*given)
    proved(run, blind, list(secrets.values()))
    assert b"env:RUNBOOK_TEST_PLANTED" in run.everything(), "a reference says where it is"


NAMES = {f"n{number:02}": sample for number, sample in enumerate(SAMPLES)}
NOTE = jwt("annotated")
TOLD = f"hvs.{word(30)}"
SPLIT = f"ghp_{word(36)}"
PRINTS = """
import base64, json, logging, os, pprint, sys
import yaml
from html import escape
from IPython.display import HTML, JSON, Markdown, display
from kubernetes import client, config
from runbook.show import diff_html

config.load_kube_config(kubeconfig, "rehearsal")
core, helm = client.CoreV1Api(), client.ApiClient()
"""
SHOWS = """
for read in (core.read_namespaced_config_map, core.read_namespaced_secret):
    found = read("planted", "default")
    raw = helm.sanitize_for_serialization(found)
    text = yaml.safe_dump(raw)
    print(found)
    display(found, raw, JSON(raw), Markdown(f"```yaml\\n{text}\\n```"))
    print(json.dumps(raw)), print(json.dumps(raw, indent=2)), print(raw), pprint.pprint(raw)
    print(text), print("\\n".join("+" + line for line in text.splitlines()))
    display(HTML(diff_html("\\n".join("-  " + line for line in text.splitlines()))))
    display(HTML(f"<table><tr><td>{escape(text)}</td></tr></table>"))
    print(base64.encodebytes(text.encode()).decode())
    print(f"planted {raw['metadata']['name']}: certificate", raw["data"]["ca.crt"])
for name, text in core.read_namespaced_config_map("planted", "default").data.items():
    print(f"--- {name}"), print(text), print(repr(text)), print(json.dumps({name: text}))
"""
TELLS = """
for pod in core.list_namespaced_pod("default").items:
    print(pod), print(pod.metadata.annotations)
print(open(kubeconfig).read())
token = yaml.safe_load(open(kubeconfig))["users"][0]["user"]["token"]
print("it is", token), print("in base64", base64.b64encode(f"x:{token}".encode()).decode())
print({token: 1}), display({token: 1}, JSON({token: "as a key"}))
parts = core.read_namespaced_config_map("parts", "default").data
for part in (parts["one"][:9], parts["one"][9:20], parts["one"][20:] + "\\n"):
    sys.stdout.write(part), sys.stdout.flush()
logging.warning("login failed with %s", parts["two"])
os.write(2, f"the kernel itself: {parts['two']}\\n".encode())
"""
FAILS = """
raise RuntimeError(json.dumps(helm.sanitize_for_serialization(found)) + NL + NL.join(found.data))
"""


def notebook(*sources: str) -> dict[str, Any]:
    def code(number: int, source: str, *tags: str) -> dict[str, Any]:
        tagged = {"tags": list(tags)}
        cell = {"cell_type": "code", "id": f"x-{number}", "metadata": tagged, "source": source}
        return {**cell, "execution_count": None, "outputs": []}

    cells = [code(number, source) for number, source in enumerate(sources, 1)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    cells.insert(0, code(0, 'kubeconfig: str = ""', "parameters"))
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": cells}


BOOK = notebook(PRINTS, SHOWS, TELLS, 'NL = "\\n"', FAILS)


@pytest.fixture(scope="module")
def shown(place: Planted) -> list[str]:
    """Plant objects that a notebook will show; give the secrets in them."""
    client = place.client()
    data = {name: sample.text for name, sample in NAMES.items()} | {"ca.crt": CERTIFICATE}
    meta: Object = {"name": "planted", "namespace": "default"}
    applied = json.dumps({"kind": "Secret", "metadata": meta, "stringData": data})
    noted = {"example.org/note": f"renew {NOTE}", "example.org/last-applied": applied}
    client.create(kinds.CONFIGMAPS, {"metadata": meta, "data": data})
    client.create(kinds.SECRETS, {"metadata": meta | {"annotations": noted}, "stringData": data})
    client.create(
        kinds.CONFIGMAPS,
        {
            "metadata": {"name": "parts", "namespace": "default"},
            "data": {"one": SPLIT, "two": TOLD},
        },
    )
    container: Object = {
        "name": "main",
        "image": "example.org/planted:1",
        "env": [{"name": "DB_PASSWORD", "value": f"pw {word(9)}"}],
        "args": ["--token", word(12), f"--password={word(9)}"],
    }
    pod = {"name": "planted", "namespace": "default", "annotations": noted}
    client.create(kinds.PODS, {"metadata": pod, "spec": {"containers": [container]}})
    given = [container["env"][0]["value"], container["args"][1], container["args"][2][11:]]
    return [*parts(SAMPLES), NOTE, TOLD, SPLIT, client.token, *given]


@pytest.fixture
def batch_of_one(
    place: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Path]:
    """Give a function that runs the notebook of this module and gives the archive."""
    path = tmp_path / "book.ipynb"
    path.write_text(json.dumps(BOOK))
    monkeypatch.setattr(batch, "source", lambda book: path)

    class Quiet:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *_: None

    def go(output: str) -> Path:
        given = {"kubeconfig": str(place.rehearsal / "kubeconfig")}
        runner = Runner(
            params=Params.parse(given),
            given=given,
            notebooks=NOTEBOOKS[:1],
            output=tmp_path / output,
            progress=Quiet(),
        )
        record = runner.run()
        assert record.steps[0].error is not None
        assert record.steps[0].error["name"] == "RuntimeError"
        return tmp_path / output

    return go


def test_in_objects_that_a_notebook_shows(
    batch_of_one: Callable[[str], Path], shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = batch_of_one("seeing")
    with monkeypatch.context() as patch:
        patch.setattr(Redactor, "text", lambda self, value: value)
        patch.setattr(Redactor, "data", lambda self, value: value)
        blind = batch_of_one("blind")
    proved(Run(archive, b""), Run(blind, b""), shown)
    names = {name.partition("/")[2] for name, _ in contents(archive) if "/" in name}
    book = NOTEBOOKS[0].name
    assert {f"{book}.ipynb", f"{book}.html", f"log/{book}.log"} <= names
    executed = next(archive.rglob("*.ipynb")).read_text()
    assert SPLIT[20:] not in executed, "parts that follow each other are one text"
    assert "planted planted: certificate" in executed
    assert CERTIFICATE.splitlines()[3] in executed, "certificates are to be seen"
    assert len(shown) >= 60


def test_in_what_papermill_leaves_with_the_engine(
    place: Planted, shown: list[str], tmp_path: Path
) -> None:
    source, target = tmp_path / "book.ipynb", tmp_path / "out" / "book.ipynb"
    source.write_text(json.dumps(BOOK))
    target.parent.mkdir()
    kubeconfig = str(place.rehearsal / "kubeconfig")
    command = [sys.executable, "-m", "papermill", "--engine", "runbook", "--log-output"]
    for path in ({}, {"PYTHONPATH": str(place.blind)}):
        done = subprocess.run(
            [*command, str(source), str(target), "-p", "kubeconfig", kubeconfig],
            env=place.environment | path,
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 1, "the notebook fails, and papermill says so"
        left = target.read_bytes() + done.stdout + done.stderr
        assert b"RuntimeError" in left
        if path:  # nobody has put the outputs of the one that was split together
            assert set(shown) - set(found_in(left, shown)) <= {SPLIT}
        else:
            assert not found_in(target.read_bytes(), shown)
            assert not found_in(done.stdout + done.stderr, shown), done.stderr.decode()


def test_the_search_finds_what_it_should() -> None:
    secret = "pa'ss <w> rd/1"
    for form in (
        *(secret, json.dumps({"x": secret}), html.escape(secret), quote(secret, safe="")),
        *(base64.b64encode(f"{'u' * n}{secret}".encode()).decode() for n in range(3)),
    ):
        assert found_in(form.encode(), [secret]) == [secret], form
    assert scrub.Redactor is Redactor, "what the proof without redaction replaces"
