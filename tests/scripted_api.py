"""An HTTP server that answers as it is told, for what a real API server rarely does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class Answer:
    """One answer; ``cut`` closes the connection instead."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


UID = "0b4b7e5c-1111-2222-3333-444455556666"
NAMESPACE = {"kind": "Namespace", "metadata": {"name": "kube-system", "uid": UID}}
KINDS = {
    "resources": [
        {"name": "namespaces", "kind": "Namespace", "namespaced": False},
        {"name": "configmaps", "kind": "ConfigMap", "namespaced": True},
        {"name": "pods", "kind": "Pod", "namespaced": True},
        {"name": "pods/log", "kind": "Pod", "namespaced": True},
    ]
}


def status(code: int, reason: str = "", message: str = "no", **details: Any) -> Answer:
    body = {"kind": "Status", "code": code, "reason": reason, "message": message}
    return Answer(code, body | ({"details": details} if details else {}))


class ScriptedApi:
    """Answers by path (without query); the last answer of a list is repeated for ever."""

    def __init__(self, directory: Path) -> None:
        self.answers: dict[str, list[Answer]] = {
            "/api/v1/namespaces/kube-system": [Answer(body=NAMESPACE)],
            "/api/v1": [Answer(body=KINDS)],
            "/version": [Answer(body={"gitVersion": "v1.35.0+k3s1"})],
        }
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.kubeconfig = kubeconfig(directory / "kubeconfig", self.url)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def script(self, path: str, *answers: Answer) -> None:
        self.answers[path] = list(answers)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                path = self.path.partition("?")[0]
                length = int(self.headers.get("Content-Length") or 0)
                raw = self.rfile.read(length)
                api.requests.append((self.command, self.path))
                api.headers.append(dict(self.headers))
                api.bodies.append(json.loads(raw) if raw else None)
                queue = api.answers.get(path, [status(404, "NotFound", "not found")])
                given = queue.pop(0) if len(queue) > 1 else queue[0]
                if given.cut:
                    self.close_connection = True
                    return
                text = given.body if isinstance(given.body, str) else json.dumps(given.body)
                self.send_response_only(given.status)  # without a Date of its own
                for key, value in given.headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - the server's names

            def log_message(self, *_: Any) -> None: ...

        return Handler


def kubeconfig(path: Path, server: str, *, context: str = "pi", user: Any = None) -> Path:
    """Write a kubeconfig with one context, and another one as the current."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "elsewhere",
        "contexts": [
            {"name": context, "context": {"cluster": "c", "user": "u"}},
            {"name": "elsewhere", "context": {"cluster": "other", "user": "u"}},
        ],
        "clusters": [
            {"name": "c", "cluster": {"server": server}},
            {"name": "other", "cluster": {"server": "http://127.0.0.1:9"}},
        ],
        "users": [{"name": "u", "user": user or {"token": "s3cret-token"}}],
    }
    path.write_text(json.dumps(config))
    return path


@dataclass(frozen=True)
class Target:
    """The parameters that name a cluster."""

    kubeconfig: str
    cluster: str = "pi"
    cluster_uid: str = ""


Pause = Callable[[float], None]
