"""The rehearsal cluster in one process: API server, controllers, kubelet, charts, dashboards."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import shutil
import tempfile
import threading
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from tornado.httpserver import HTTPServer

from runbook.errors import RehearsalError
from runbook.rehearsal import charts, dashboards, picluster
from runbook.rehearsal.apiserver.api import Answer, Api, Settings
from runbook.rehearsal.apiserver.backend import Switch
from runbook.rehearsal.apiserver.requests import Request, Response
from runbook.rehearsal.apiserver.server import listen
from runbook.rehearsal.apiserver.state import Saver
from runbook.rehearsal.apiserver.store import Store
from runbook.rehearsal.apiserver.tls import Authority, write_private
from runbook.rehearsal.client import Client
from runbook.rehearsal.client import Resource as Endpoint
from runbook.rehearsal.faults import Faults

if TYPE_CHECKING:
    from runbook.rehearsal.controllers import Handle

__all__ = ["Twin"]

_CONTEXT = "rehearsal"
_SETTLE_SECONDS = 120


class Twin:
    """An embedded Kubernetes cluster on loopback; use it as a context manager.

    Args:
        directory: Where the kubeconfig, the CA and the saved state are; a temporary one by
            default, removed at the end.
        kubernetes_version: Version of the API, such as ``1.35``.
        persist: Keep the objects in ``directory`` and take them up again at the next start.
        kubelet: Run pods.
        controllers: Run the controllers.
        content: Fill the cluster as the Raspberry Pi cluster of the documentation; otherwise it
            is a bare API server.
        services: With it, what its owner runs on it: Longhorn, Velero, Elasticsearch and so on.

    Attributes:
        url: Address of the API server, once started.
        chart_repository: Address of the Helm repository, once started.
        dashboards: Address of what stands for grafana.com, once started.
        faults: What shall go wrong.
        backend: What runs the pods.
    """

    def __init__(
        self,
        *,
        directory: Path | None = None,
        kubernetes_version: str = "1.35",
        persist: bool = False,
        kubelet: bool = True,
        controllers: bool = True,
        content: bool = True,
        services: bool = False,
    ) -> None:
        self.kubernetes_version = kubernetes_version
        self.url = ""
        self.chart_repository = ""
        self.dashboards = ""
        self.faults = Faults(self._drop_watches)
        self._temporary = directory is None
        self._directory = directory
        self._persist = persist
        self._kubelet, self._controllers, self._content = kubelet, controllers, content
        self._services = services
        self._store = Store()
        self._saver: Saver | None = None
        self.backend = Switch()
        self._api: Api | None = None
        self._handle: Handle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._servers: list[HTTPServer] = []

    @property
    def directory(self) -> Path:
        """Give the directory of this cluster, made when first asked for."""
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="rehearsal-"))
        return self._directory

    @property
    def kubeconfig(self) -> Path:
        """Give the kubeconfig of the administrator; its context is ``rehearsal``."""
        return self.directory / "kubeconfig"

    @property
    def api(self) -> Api:
        """Give the API server.

        Raises:
            RehearsalError: It has not been started.
        """
        if self._api is None:
            raise RehearsalError("the rehearsal cluster is not running", fix="call start() first")
        return self._api

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything; return when the API answers and the controllers have settled.

        Raises:
            RehearsalError: It is running already, or its saved state cannot be read.
        """
        if self._thread is not None:
            raise RehearsalError("the rehearsal cluster is running already")
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(started,), name="rehearsal-api", daemon=True
        )
        self._thread.start()
        try:
            started.result()
            self._fill()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything; a second call does nothing."""
        if self._handle is not None:
            self._handle.stop()
            self._handle = None
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
        if thread is not None:
            thread.join()
        if self._temporary and self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def _fill(self) -> None:
        """Create the content and start the controllers, as clients of the API."""
        client = Client.from_kubeconfig(self.kubeconfig, agent="kubectl")
        if self._controllers:
            from runbook.rehearsal import controllers  # noqa: PLC0415 - a bare server needs none

            self._handle = controllers.start(
                client,
                kubelet=self._kubelet,
                faults=self.faults,
                directory=self.directory / "pods",
            )
            if self._handle.kubelet is not None:
                self.backend.to = self._handle.kubelet
        if self._content:
            for obj in picluster.objects(self.kubernetes_version, services=self._services):
                self._ensure(client, obj)
        if self._handle is not None and self._content:
            self._handle.settled(_SETTLE_SECONDS)

    def _ensure(self, client: Client, obj: dict[str, Any]) -> None:
        """Create an object unless it was there before."""
        group, _, version = obj["apiVersion"].rpartition("/")
        found = self.api.registry.of_kind(group, version, obj["kind"])
        if found is None:
            raise RehearsalError(
                f"the rehearsal cluster serves no {obj['apiVersion']} {obj['kind']}"
            )
        place = Endpoint(group, version, found.plural, found.kind, found.namespaced)
        name, namespace = obj["metadata"]["name"], obj["metadata"].get("namespace", "")
        if client.find(place, name, namespace) is not None:
            return
        client.create(place, obj)
        if obj.get("status") and found.has_status:
            status = {"status": obj["status"]}
            client.patch(place, name, status, namespace, subresource="status")

    def _run(self, started: Future[None]) -> None:
        """Run the event loop of the servers in its own thread."""
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(self._open())
            self._loop = loop
            loop.call_soon(started.set_result, None)
            loop.run_forever()
            loop.run_until_complete(self._close())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    async def _open(self) -> None:
        """Start the servers; runs on their event loop."""
        authority = Authority.load(self.directory / "tls")
        token = _token(self.directory / "tls" / "token")
        if self._persist:
            self._saver = Saver(self._store, self.directory / "state.json")
            self._saver.load()
        self._serve_downloads()
        server, port = listen(self._answer, authority.server_context(), self._last_port())
        self._servers.append(server)
        self.url = f"https://127.0.0.1:{port}"
        settings = Settings(self.kubernetes_version, port, token, authority.key)
        self._api = Api(settings, self._store, self.backend, self.faults)
        self._api.start()
        if self._saver is not None:
            self._saver.start()
        write_private(self.kubeconfig, self._write_kubeconfig(authority.ca, token))

    def _last_port(self) -> int:
        """Give the port of the run before, so that clients find the server again; 0 if none."""
        try:
            config = json.loads(self.kubeconfig.read_text())
            return urlsplit(config["clusters"][0]["cluster"]["server"]).port or 0
        except (OSError, ValueError, KeyError):
            return 0

    async def _answer(self, request: Request) -> Answer:
        return await self.api.serve(request)

    def _serve_downloads(self) -> None:
        """Serve the chart repository and the dashboards over plain HTTP."""
        root = self.directory / "charts"
        root.mkdir(exist_ok=True)
        charts.build(root)

        async def answer(request: Request) -> Answer:
            dashboard = dashboards.download(request.path)
            if dashboard is not None:
                return Response(200, dashboard, "application/json")
            path = root / Path(request.path).name
            if not path.is_file():
                return Response(404, "not found\n")
            return Response(200, path.read_bytes(), _chart_media(path))

        server, port = listen(answer, None)
        self._servers.append(server)
        self.chart_repository = self.dashboards = f"http://127.0.0.1:{port}"

    async def _close(self) -> None:
        """Stop the servers; runs on their event loop."""
        self.api.watches.drop()
        for server in self._servers:
            server.stop()
        tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        await asyncio.wait(tasks, timeout=0.2) if tasks else None
        for server in self._servers:
            await server.close_all_connections()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._saver is not None:
            self._saver.save()

    def _drop_watches(self, resource: str) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.api.watches.drop, resource)

    def _write_kubeconfig(self, ca: str, token: str) -> bytes:
        extension = {
            "name": "runbook-rehearsal",
            "extension": {
                "chartRepository": self.chart_repository,
                "dashboards": self.dashboards,
            },
        }
        cluster = {
            "server": self.url,
            "certificate-authority-data": base64.b64encode(ca.encode()).decode(),
            "extensions": [extension],
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": _CONTEXT, "cluster": cluster}],
            "users": [{"name": _CONTEXT, "user": {"token": token}}],
            "contexts": [{"name": _CONTEXT, "context": {"cluster": _CONTEXT, "user": _CONTEXT}}],
            "current-context": _CONTEXT,
        }
        return json.dumps(config, indent=2).encode()


def _token(path: Path) -> str:
    """Take the directory's administrator token, or make one."""
    if not path.exists():
        write_private(path, secrets.token_hex(24).encode())
    return path.read_text()


def _chart_media(path: Path) -> str:
    return "application/yaml" if path.suffix == ".yaml" else "application/gzip"
