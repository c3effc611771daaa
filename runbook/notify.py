"""Telling somebody that a run has ended: a command or a webhook gets ``result.json``.

What to tell may be a secret, such as the address of a webhook, so it is never shown, and may be
kept elsewhere: ``env:NAME`` or ``file:PATH``.
"""

# ruff: noqa: PLC0415 - a run that notifies nobody needs none of this
from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook.errors import ParameterError
from runbook.secrets import is_reference, resolve

if TYPE_CHECKING:
    from urllib.request import OpenerDirector

__all__ = ["send"]

_TIMEOUT = 10.0  # seconds for a webhook to answer
_COMMAND_TIMEOUT = 60.0  # seconds for a command to end
_PAUSES = (0.5, 2.0)  # seconds before the second and the third attempt
_SERVER_FAULT = 500


def send(target: str, result_file: Path, *, pause: Callable[[float], None] = time.sleep) -> str:
    """Send the result of a run.

    Args:
        target: A command line, run without a shell, with the result on its standard input and
            ``RUNBOOK_STATUS``, ``RUNBOOK_RUN`` and ``RUNBOOK_RECORD`` (status, name and directory
            of the run) in its environment; or an address, ``http://`` or ``https://``, to which
            the result is posted; or a reference to either, ``env:NAME`` or ``file:PATH``.
        result_file: ``result.json`` of the run.
        pause: Waits between two attempts.

    Returns:
        What went wrong, in one sentence that does not show the target; empty when it was sent.
    """
    label = target if is_reference(target) else ""
    try:
        meant = resolve(target) if label else target
        content = result_file.read_bytes()
        result = json.loads(content)
    except ParameterError as error:
        return f"cannot notify: {error.what}"
    except (OSError, ValueError) as error:
        return f"cannot notify: {result_file.name} cannot be read ({type(error).__name__})"
    if meant.startswith(("http://", "https://")):
        problem = _post(meant, content, pause)
        return problem and f"cannot notify {label or 'the webhook'}: {problem}"
    problem = _run(meant, content, _environment(result, result_file))
    return problem and f"cannot notify by {label or 'the command'}: {problem}"


def _environment(result: Mapping[str, Any], result_file: Path) -> dict[str, str]:
    return {
        "RUNBOOK_STATUS": str(result.get("status", "")),
        "RUNBOOK_RUN": str(result.get("run", "")),
        "RUNBOOK_RECORD": str(result_file.parent.absolute()),
    }


def _run(command: str, content: bytes, environment: Mapping[str, str]) -> str:
    """Run a command; give what went wrong."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        return f"it is no command line ({error})"
    if not words:
        return "it is empty"
    try:
        done = subprocess.run(
            words,
            input=content,
            stdout=subprocess.DEVNULL,  # it may well show the address it tells
            stderr=subprocess.DEVNULL,
            timeout=_COMMAND_TIMEOUT,
            env={**os.environ, **environment},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it did not end within {_COMMAND_TIMEOUT:.0f} s"
    except OSError as error:
        return f"it cannot be run ({error.strerror})"
    return f"it ended with status {done.returncode}" if done.returncode else ""


def _post(address: str, content: bytes, pause: Callable[[float], None]) -> str:
    """Post the result, again when the server has not taken it; give what went wrong."""
    opener = _opener()
    problem, again = _attempt(opener, address, content)
    for seconds in _PAUSES:
        if not again:
            break
        pause(seconds)
        problem, again = _attempt(opener, address, content)
    return problem


def _opener() -> OpenerDirector:
    """Give what sends requests and follows no redirection: it would turn a POST into a GET."""
    from urllib.request import HTTPRedirectHandler, build_opener

    class Stay(HTTPRedirectHandler):
        """Takes a redirection as an answer."""

        def redirect_request(self, *_: Any) -> None:
            """Give no request to go on with."""

    return build_opener(Stay)


def _attempt(opener: OpenerDirector, address: str, content: bytes) -> tuple[str, bool]:
    """Post once; give what went wrong, and whether to try again."""
    from http.client import HTTPException, InvalidURL
    from urllib.error import HTTPError, URLError
    from urllib.request import Request

    headers = {"Content-Type": "application/json", "User-Agent": "linkerd-runbook"}
    try:
        request = Request(address, data=content, headers=headers, method="POST")  # noqa: S310 - http(s)
        with opener.open(request, timeout=_TIMEOUT):
            return "", False
    except HTTPError as error:
        error.close()
        return f"it answered {error.code}", error.code >= _SERVER_FAULT
    except (ValueError, InvalidURL):
        return "it is no valid address", False
    except URLError as error:  # its text may hold the address
        if isinstance(error.reason, str):  # no host, or no such scheme
            return "it is no valid address", False
        return f"no connection ({type(error.reason).__name__})", True
    except (OSError, HTTPException) as error:
        return f"no answer ({type(error).__name__})", True
