"""The rehearsal cluster in one process: API server, controllers, kubelet, chart repository."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import contextlib
import json
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tornado.httpserver import HTTPServer

from runbook.errors import RehearsalError
from runbook.rehearsal import picluster
from runbook.rehearsal.api import Api, Settings
from runbook.rehearsal.backend import Attached
from runbook.rehearsal.client import Client
from runbook.rehearsal.controllers import Handle, start
from runbook.rehearsal.faults import Faults
from runbook.rehearsal.server import listen
from runbook.rehearsal.store import Store
from runbook.rehearsal.tls import Authority, write_private

__all__ = ["Twin"]

_CONTEXT = "rehearsal"


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
    ) -> None:
        self._temporary = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="rehearsal-"))
        self.kubernetes_version = kubernetes_version
        self.url = ""
        self.chart_repository = ""
        self._persist = persist
        self._parts = {"kubelet": kubelet, "controllers": controllers, "content": content}
        self.faults = Faults(self._drop_watches)
        self._nodes = Attached()
        self._handle: Handle | None = None
        self._store = Store()
        self._api: Api | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._servers: list[HTTPServer] = []

    @property
    def kubeconfig(self) -> Path:
        """Give the kubeconfig of the administrator."""
        return self.directory / "kubeconfig"

    @property
    def api(self) -> Api:
        """Give the API server, once started."""
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
        """Start everything and return when the API answers."""
        started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(
            target=self._run, args=(started,), name="rehearsal-api", daemon=True
        )
        self._thread.start()
        started.result()
        self._populate()

    def stop(self) -> None:
        """Stop everything; a second call does nothing."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        if self._handle is not None:
            self._handle.stop()
        self._loop = self._thread = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def settled(self, timeout: float = 30) -> bool:
        """Wait until the controllers have nothing left to do.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether they came to rest in time.
        """
        return self._handle is None or self._handle.settled(timeout)

    def _populate(self) -> None:
        """Fill the cluster and run its controllers, all of it through the API."""
        client = Client.from_kubeconfig(self.kubeconfig, agent="k3s")
        if self._parts["content"]:
            picluster.create(client, self.kubernetes_version)
        if self._parts["controllers"]:
            self._handle = start(
                client, kubelet=self._parts["kubelet"], faults=self.faults, nodes=self._nodes
            )

    def _drop_watches(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.api.watches.drop_all)

    def _run(self, started: concurrent.futures.Future[None]) -> None:
        """Run the event loop of the API server in its own thread."""
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(self._open())
            self._loop = loop
            loop.call_soon(started.set_result, None)
            loop.run_forever()
            loop.run_until_complete(self._close())
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            else:
                raise
        finally:
            loop.close()

    async def _open(self) -> None:
        authority = Authority.load(self.directory / "tls")
        token = _token(self.directory / "tls" / "token")

        async def serve(request: Any) -> Any:
            return await self.api.serve(request)

        server, port = listen(serve, authority.server_context())
        self._servers.append(server)
        self.url = f"https://127.0.0.1:{port}"
        settings = Settings(self.kubernetes_version, port, token, authority.key)
        self._api = Api(settings, self._store, self._nodes, self.faults)
        self._api.start()
        write_private(self.kubeconfig, self._write_kubeconfig(authority.ca, token))

    async def _close(self) -> None:
        self.api.watches.drop_all()
        for server in self._servers:
            server.stop()
            await server.close_all_connections()
        tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _write_kubeconfig(self, ca: str, token: str) -> bytes:
        extension = {
            "name": "runbook-rehearsal",
            "extension": {"chartRepository": self.chart_repository},
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": _CONTEXT,
                    "cluster": {
                        "server": self.url,
                        "certificate-authority-data": base64.b64encode(ca.encode()).decode(),
                        "extensions": [extension],
                    },
                }
            ],
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
