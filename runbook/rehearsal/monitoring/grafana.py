"""The stand-in for Grafana as a process: health, a login page, and what was provisioned."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import os
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from runbook.rehearsal.images.listening import Reply
from runbook.rehearsal.images.serving import Settings, open_port, run
from runbook.rehearsal.monitoring.provisioning import Dashboard, Provisioner, log

__all__ = ["Site"]

Found = tuple[int, Any]

_FOLDER = "/tmp/dashboards"  # noqa: S108 - where the chart's provider looks, in the container
_SECONDS = 0.5
"""Between two looks at the directory; Grafana's provider takes 30 s."""
_LOGIN = b"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Grafana (rehearsal)</title></head>
<body>
<h1>Grafana (rehearsal)</h1>
<p>This is a stand-in for Grafana: it shows that you reached it, and draws nothing. The dashboards
that it was given are at /api/search.</p>
</body>
</html>
"""
_STRANGER = {"message": "Unauthorized", "messageId": "session.token.missing", "statusCode": 401}
_WRONG = {
    "message": "Invalid username or password",
    "messageId": "password-auth.failed",
    "statusCode": 401,
}


class Site:
    """Answers what is asked of Grafana's API.

    Args:
        provisioner: Has the dashboards.
        version: Which Grafana it stands for.
        user: Name of the administrator.
        password: The administrator's password.
    """

    def __init__(self, provisioner: Provisioner, *, version: str, user: str, password: str) -> None:
        self._provisioner = provisioner
        self._version = version
        self._login = f"{user}:{password}".encode()

    def answer(self, target: str, authorization: str) -> Found:
        """Answer a GET request: status, and JSON to be encoded.

        Args:
            target: Path and query.
            authorization: The header of that name.
        """
        path = urlsplit(target).path
        if path == "/api/health":
            health = {"database": "ok", "version": self._version, "commit": "rehearsal"}
            return 200, health
        if not path.startswith("/api/"):
            return 404, {"message": "Not found"}
        if not authorization:
            return 401, _STRANGER
        if not hmac.compare_digest(_login(authorization), self._login):
            return 401, _WRONG
        if path == "/api/search":
            return 200, self._search(parse_qs(urlsplit(target).query))
        return self._one(path)

    def _search(self, query: Mapping[str, list[str]]) -> list[dict[str, Any]]:
        kinds = query.get("type", ["dash-db"])
        word = query.get("query", [""])[-1].lower()
        found = self._provisioner.dashboards if "dash-db" in kinds else []
        return [
            {
                "id": number,
                "uid": one.uid,
                "title": one.title,
                "uri": f"db/{_slug(one)}",
                "url": _url(one),
                "type": "dash-db",
                "tags": one.data.get("tags") or [],
                "isStarred": False,
            }
            for number, one in enumerate(found, 1)
            if word in one.title.lower()
        ]

    def _one(self, path: str) -> Found:
        uid = path.removeprefix("/api/dashboards/uid/")
        for one in self._provisioner.dashboards:
            if one.uid == uid:
                meta = {
                    "type": "db",
                    "slug": _slug(one),
                    "url": _url(one),
                    "provisioned": True,
                    "provisionedExternalId": one.file,
                }
                return 200, {"meta": meta, "dashboard": one.data}
        return 404, {"message": "Dashboard not found" if uid != path else "Not found"}


def _slug(one: Dashboard) -> str:
    return re.sub(r"[^a-z0-9]+", "-", one.title.lower()).strip("-")


def _url(one: Dashboard) -> str:
    return f"/d/{one.uid}/{_slug(one)}"


def _login(header: str) -> bytes:
    """Give name and password out of an Authorization header."""
    scheme, _, value = header.partition(" ")
    try:
        return base64.b64decode(value) if scheme.lower() == "basic" else b""
    except binascii.Error:
        return b""


def _handler(site: Site) -> type[Reply]:
    class Page(Reply):
        def do_GET(self) -> None:  # noqa: N802 - the name http.server calls
            path = urlsplit(self.path).path
            if path == "/login":
                self.reply(200, "text/html; charset=UTF-8", _LOGIN)
            elif path == "/":
                self.reply(302, "text/html; charset=utf-8", b"", Location="/login")
            else:
                found = site.answer(self.path, self.headers.get("Authorization") or "")
                body = json.dumps(found[1]).encode()
                self.reply(found[0], "application/json; charset=UTF-8", body)

    return Page


def _watch(provisioner: Provisioner) -> None:
    while True:
        provisioner.look()
        time.sleep(_SECONDS)


def _main() -> None:
    settings, env = Settings.load(), os.environ
    version = settings.extra["version"]
    text = "Starting Grafana (rehearsal: a stand-in)"
    log("settings", "info", text, version=version, commit="rehearsal")
    folder = Path(settings.mounts.get(_FOLDER) or Path(settings.directory) / "dashboards")
    provisioner = Provisioner(folder, _FOLDER)
    user = env.get("GF_SECURITY_ADMIN_USER", "admin")
    password = env.get("GF_SECURITY_ADMIN_PASSWORD", "admin")
    site = Site(provisioner, version=version, user=user, password=password)
    for port in settings.ports.values():
        open_port(settings, port, _handler(site))
        log("http.server", "info", "HTTP Server Listen", address=f"[::]:{port}", protocol="http")
    threading.Thread(target=_watch, args=(provisioner,), daemon=True).start()
    run(settings)


if __name__ == "__main__":
    _main()
