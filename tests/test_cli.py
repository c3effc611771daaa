"""The command line: what it prints, where, and the exit status it ends with."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from runbook import cli, rehearsal
from runbook.cli import _status
from runbook.errors import CheckError, InfrastructureError, StepError
from runbook.notebooks import NOTEBOOKS


@pytest.fixture(autouse=True)
def nothing_is_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep every test away from rehearsal clusters and kubeconfigs of this machine."""
    monkeypatch.setenv("RUNBOOK_REHEARSAL_DIR", str(tmp_path / "rehearsal"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail when a rehearsal cluster is started or a runner is made."""

    def never(*_: object, **__: object) -> None:
        pytest.fail("something was touched")

    monkeypatch.setattr(rehearsal, "up", never)
    monkeypatch.setattr("runbook.runner.Runner", never)


def raising(error: BaseException) -> Callable[..., None]:
    def command(*_: object, **__: object) -> None:
        raise error

    return command


def test_list_shows_every_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    assert _status(["list"]) == 0
    shown = capsys.readouterr().out
    for book in NOTEBOOKS:
        assert book.name.partition("-")[2] in shown
        assert book.summary in shown


@pytest.mark.parametrize("name", ["12", "12-identity-issuer", "notebooks/12-identity-issuer.ipynb"])
def test_show_gives_type_default_and_meaning(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _status(["show", name]) == 0
    shown = capsys.readouterr().out
    assert "mode: plan | apply | verify = 'apply'" in shown
    assert "timeout: number = 600" in shown
    assert "How long an identity issuer certificate is valid" in shown


def test_show_suggests_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert _status(["show", "identity-isuer"]) == 2
    assert "did you mean 12-identity-issuer?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--nonsense"], "--nonsense"),
        (["nonsense"], "nonsense"),
        (["run", "-p", "mode"], "NAME=VALUE"),
        (["run", "-p", "tiemout=5"], "did you mean timeout?"),
        (["run", "-p", "timeout=soon"], "must be a whole number"),
        (["run", "--mode", "aply"], "did you mean apply?"),
        (["run", "-p", "line=edge-2.2"], "must be a release line"),
        (["run", "-f", "absent.yaml"], "absent.yaml"),
        (["run", "--from", "99"], "there is no notebook '99'"),
        (["run", "--from", "16", "--until", "12"], "no notebook is left to run"),
        (["run", "--only", "00,bogus"], "'bogus'"),
        (["run", "--only", "17-19"], "there is no notebook in 17-19"),
        (["run", "--with", "71"], "there is no notebook '71'"),
        (["run", "--from", "60"], "--only 60-64"),
        (["run", "--only", "61", "--budget", "30s"], "bench_budget must be 1m or more"),
        (["run", "--only", "61", "--budget", "soon"], "must be a duration"),
        (["lab", "-p", "mode=aply"], "did you mean apply?"),
        (["lab", "--clustr", "pi"], "--clustr"),
    ],
)
@pytest.mark.usefixtures("untouched")
def test_wrong_usage_is_2_and_touches_nothing(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    output = tmp_path / "outputs"
    extra = ["--output", str(output)] if arguments[0] == "run" else []
    assert _status([*arguments, *extra]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert "Traceback" not in captured.err
    assert not output.exists()


@pytest.fixture
def runners(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Keep the runners that are made, and run nothing."""
    made: list[Any] = []

    class Kept:
        def __init__(self, **given: Any) -> None:
            self.__dict__ |= given
            made.append(self)

        def run(self) -> None:
            raise StepError("that was it")

    monkeypatch.setattr("runbook.runner.Runner", Kept)
    monkeypatch.setattr("runbook.temporary.rehearsal_cluster", lambda params: nullcontext(False))
    return made


def test_the_benchmark_gets_its_notebooks_and_its_budget(
    runners: list[Any], tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("bench_budget: 2h\n")
    command = ["run", "-f", str(file), "--until", "16", "--with", "60-62", "--budget", "10m"]
    assert _status(command) == 3
    (made,) = runners
    assert [book.name[:2] for book in made.notebooks][-4:] == ["16", "60", "61", "62"]
    assert (made.params.bench_budget, made.given["bench_budget"]) == ("10m", "10m")


def test_without_a_budget_the_file_says_it(runners: list[Any], tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("bench_budget: 2h\n")
    assert _status(["run", "-f", str(file)]) == 3
    (made,) = runners
    assert made.params.bench_budget == "2h"
    assert [book.name[:2] for book in made.notebooks][-1] == "25"


@pytest.mark.usefixtures("untouched")
def test_version_written_as_a_number_is_explained(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("chart_version: 1.30\n")
    assert _status(["run", "-f", str(file)]) == 2
    shown = capsys.readouterr().err
    assert 'chart_version: "1.30"' in shown
    assert "mine.yaml" in shown


def test_missing_kubeconfig_is_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    output = tmp_path / "outputs"
    assert _status(["run", "--cluster", "pi", "--output", str(output)]) == 2
    assert "there is no kubeconfig" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (CheckError("a check failed", why="so", fix="mend it", see="12"), 1),
        (StepError("the step failed"), 3),
        (InfrastructureError("no kernel"), 4),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("a fault"), 4),
    ],
)
def test_errors_map_to_exit_statuses(
    error: BaseException,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cli.runbook.commands["list"], "callback", raising(error))
    assert _status(["list"]) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert ("Traceback" in captured.err) == isinstance(error, ZeroDivisionError)


def test_an_unexpected_error_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = ZeroDivisionError("Authorization: Bearer abcdefghijklmnop")
    monkeypatch.setattr(cli.runbook.commands["list"], "callback", raising(error))
    assert _status(["list"]) == 4
    shown = capsys.readouterr().err
    assert "Authorization: Bearer [redacted]" in shown
    assert "abcdefghijklmnop" not in shown


def test_error_says_what_why_fix_see(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = CheckError("a check failed", why="so", fix="mend it", see="12")
    monkeypatch.setattr(cli.runbook.commands["list"], "callback", raising(error))
    _status(["list"])
    assert capsys.readouterr().err == "a check failed\n  why: so\n  fix: mend it\n  see: 12\n"


def test_params_check_names_every_wrong_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    good, bad, worse = (tmp_path / name for name in ("good.yaml", "bad.yaml", "worse.yaml"))
    good.write_text("line: edge-2.19\n")
    bad.write_text("lien: edge-2.19\n")
    worse.write_text("timeout: [1]\n")
    assert _status(["params", "check", str(good)]) == 0
    assert _status(["params", "check", str(good), str(bad), str(worse)]) == 2
    captured = capsys.readouterr()
    assert f"{good}: ok (edge-2.19 on rehearsal, mode apply)" in captured.out
    assert "did you mean line?" in captured.err
    assert "worse.yaml" in captured.err


def test_shipped_parameter_files_are_right() -> None:
    folder = Path(__file__).parent.parent / "params"
    files = sorted(str(path) for path in folder.glob("*.yaml"))
    assert files
    assert _status(["params", "check", *files]) == 0


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert _status(["params", "schema"]) == 0
    assert "cluster_issuer" in json.loads(capsys.readouterr().out)["properties"]


def test_doctor_names_contexts_and_shows_no_secret(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    secret = "abcdefghijklmnop"
    (tmp_path / "kubeconfig").write_text(
        "contexts:\n- name: pi-cluster\n  context: {cluster: pi, user: pi}\n"
        f"users:\n- name: pi\n  user: {{token: {secret}}}\n"
    )
    assert _status(["doctor"]) == 0
    captured = capsys.readouterr()
    assert "contexts: pi-cluster" in captured.out
    assert secret not in captured.out + captured.err
    for title in ("Python", "packages", "kernel", "kubectl", "helm", "rehearsal cluster"):
        assert title in captured.out


def test_doctor_says_what_is_broken(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text("contexts: {nonsense\n")
    assert _status(["doctor"]) == 4
    assert "cannot be read as a kubeconfig" in capsys.readouterr().out


def test_rehearsal_up_prints_only_the_kubeconfig(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked: dict[str, object] = {}

    def up(directory: Path | None, **options: object) -> Path:
        asked.update(options, directory=directory)
        return tmp_path / "kubeconfig"

    monkeypatch.setattr(rehearsal, "up", up)
    assert _status(["rehearsal", "up"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'kubeconfig'}\n"
    assert asked == {
        "directory": None,
        "persist": False,
        "kubernetes_version": "1.35",
        "bare": False,
    }
    assert _status(["rehearsal", "up", "--bare", "--state", str(tmp_path)]) == 0
    assert asked["bare"] is True
    assert asked["directory"] == tmp_path
    assert asked["persist"] is True
    assert capsys.readouterr().out == f"{tmp_path / 'kubeconfig'}\n"


def test_rehearsal_status_says_whether_one_is_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert _status(["rehearsal", "status"]) == 4
    assert _status(["rehearsal", "down"]) == 0
    assert capsys.readouterr().out == "down\nno rehearsal cluster was up\n"
