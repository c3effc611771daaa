"""Telling somebody that a run has ended: real commands, and a real server on loopback."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runbook import notify
from runbook.notify import send

RESULT = {"run": "20261124-pi-ab12", "status": "check-failed", "exit_status": 1}
SECRET = "T0KEN-5ecret-path"


class Hook:
    """A webhook that answers as it is told; the last answer is repeated."""

    def __init__(self) -> None:
        self.answers = [200]
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                hook.requests.append((self.path, dict(self.headers), json.loads(raw)))
                answer = hook.answers.pop(0) if len(hook.answers) > 1 else hook.answers[0]
                if answer == 0:  # hang up
                    self.close_connection = True
                    return
                self.send_response(answer)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                pytest.fail("a redirection was followed")

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.server_port}/{SECRET}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    running = Hook()
    yield running
    running.close()


@pytest.fixture
def result_file(tmp_path: Path) -> Path:
    directory = tmp_path / RESULT["run"]
    directory.mkdir()
    (directory / "result.json").write_text(json.dumps(RESULT))
    return directory / "result.json"


@pytest.fixture
def pauses() -> list[float]:
    return []


# --- webhooks -----------------------------------------------------------------------------------


def test_a_webhook_gets_the_result(hook: Hook, result_file: Path) -> None:
    assert send(hook.address, result_file) == ""
    ((path, headers, body),) = hook.requests
    assert (path, body) == (f"/{SECRET}", RESULT)
    assert headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("answers", "attempts", "problem"),
    [
        ([503, 200], 2, ""),
        ([500, 502, 204], 3, ""),
        ([0, 200], 2, ""),
        ([503], 3, "cannot notify the webhook: it answered 503"),
        ([404, 200], 1, "cannot notify the webhook: it answered 404"),
        ([302, 200], 1, "cannot notify the webhook: it answered 302"),
        ([0], 3, "cannot notify the webhook: no answer (RemoteDisconnected)"),
    ],
)
def test_what_may_pass_is_tried_again(
    hook: Hook,
    result_file: Path,
    pauses: list[float],
    answers: list[int],
    attempts: int,
    problem: str,
) -> None:
    hook.answers = answers
    assert send(hook.address, result_file, pause=pauses.append) == problem
    assert len(hook.requests) == attempts
    assert len(pauses) == attempts - 1


def test_nobody_there(result_file: Path, pauses: list[float]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/{SECRET}"
        problem = send(address, result_file, pause=pauses.append)
    assert problem == "cannot notify the webhook: no connection (ConnectionRefusedError)"
    assert len(pauses) == 2


def test_a_webhook_that_does_not_answer(
    result_file: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "_TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        problem = send(address, result_file, pause=pauses.append)
    assert problem == "cannot notify the webhook: no answer (TimeoutError)"


@pytest.mark.parametrize(
    "address", [f"https:///{SECRET}", f"http://me:{SECRET}@host/", "http://[x"]
)
def test_no_valid_address_is_not_shown(
    address: str, result_file: Path, pauses: list[float]
) -> None:
    problem = send(address, result_file, pause=pauses.append)
    assert problem.startswith("cannot notify the webhook: ")
    assert SECRET not in problem
    assert pauses == []


# --- commands -----------------------------------------------------------------------------------

TELL = """
import json, os, sys
names = ("RUNBOOK_STATUS", "RUNBOOK_RUN", "RUNBOOK_RECORD", "PATH")
told = {"stdin": json.load(sys.stdin), "argv": sys.argv[2:]}
told |= {name: os.environ[name] for name in names}
open(sys.argv[1], "w").write(json.dumps(told))
"""


@pytest.fixture
def tell(tmp_path: Path) -> str:
    program = tmp_path / "tell.py"
    program.write_text(TELL)
    return f"{sys.executable} {program} {tmp_path / 'told'}"


def test_a_command_gets_the_result(tell: str, result_file: Path, tmp_path: Path) -> None:
    assert send(f"{tell} 'two words' $HOME ; true", result_file) == ""
    told = json.loads((tmp_path / "told").read_text())
    assert told["stdin"] == RESULT
    assert told["argv"] == ["two words", "$HOME", ";", "true"], "there is no shell"
    assert told["RUNBOOK_STATUS"] == "check-failed"
    assert told["RUNBOOK_RUN"] == RESULT["run"]
    assert told["RUNBOOK_RECORD"] == str(result_file.parent)
    assert told["PATH"]


def test_a_command_that_fails_is_said_but_not_shown(
    result_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = f"import sys; print({SECRET!r}); sys.exit({SECRET!r})"
    problem = send(f'{sys.executable} -c "{text}"', result_file)
    assert problem == "cannot notify by the command: it ended with status 1"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("/absent/program", "it cannot be run (No such file or directory)"),
        ("unclosed 'quote", "it is no command line (No closing quotation)"),
        ("", "it is empty"),
        ("true", ""),  # reads nothing of what it is given
    ],
)
def test_what_is_no_command(command: str, problem: str, result_file: Path) -> None:
    said = f"cannot notify by the command: {problem}"
    assert send(command, result_file) == (said if problem else "")


def test_a_command_that_does_not_end(result_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "_COMMAND_TIMEOUT", 0.05)
    assert "did not end within" in send("sleep 60", result_file)


# --- references ---------------------------------------------------------------------------------


def test_the_target_may_be_kept_elsewhere(
    hook: Hook,
    tell: str,
    result_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOOK", hook.address)
    assert send("env:HOOK", result_file) == ""
    kept = tmp_path / "hook"
    kept.write_text(f"{hook.address}\n")
    assert send(f"file:{kept}", result_file) == ""
    assert [path for path, _, _ in hook.requests] == [f"/{SECRET}"] * 2
    monkeypatch.setenv("COMMAND", tell)
    assert send("env:COMMAND", result_file) == ""
    assert json.loads((tmp_path / "told").read_text())["stdin"] == RESULT


def test_a_problem_names_the_reference_not_the_address(
    hook: Hook, result_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook.answers = [403]
    monkeypatch.setenv("HOOK", hook.address)
    assert send("env:HOOK", result_file) == "cannot notify env:HOOK: it answered 403"
    monkeypatch.delenv("HOOK")
    problem = send("env:HOOK", result_file)
    assert problem == "cannot notify: env:HOOK: the environment has no variable HOOK"


def test_no_result_is_a_problem(hook: Hook, tmp_path: Path) -> None:
    problem = send(hook.address, tmp_path / "result.json")
    assert problem == "cannot notify: result.json cannot be read (FileNotFoundError)"
    assert hook.requests == []
