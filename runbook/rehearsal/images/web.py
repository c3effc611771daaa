"""The dashboard of Viz as a process: one page, and its refusal of hosts it does not know."""

from __future__ import annotations

import re
import sys
import threading
from collections import Counter

from runbook.rehearsal.images.listening import Reply
from runbook.rehearsal.images.serving import Settings, listen, log, run

__all__ = ["Hosts", "InvalidPatternError", "refusal"]

_FLAG = "-enforced-host="
_PAGE = b"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Linkerd dashboard (rehearsal)</title></head>
<body>
<h1>Linkerd dashboard (rehearsal)</h1>
<p>This is a stand-in for the dashboard of Linkerd Viz: it shows that you reached it, no more.</p>
</body>
</html>
"""
_SAFE = {
    "X_Content_Type_Options": "nosniff",
    "X_Frame_Options": "SAMEORIGIN",
    "X_XSS_Protection": "1; mode=block",
}
_ESCAPES = str.maketrans({"&": "&amp;", "'": "&#39;", "<": "&lt;", ">": "&gt;", '"': "&#34;"})
#: What Python's regular expressions have and Go's do not.
_PERL = re.compile(r"\(\?(?:<?[=!])")


class InvalidPatternError(ValueError):
    """A pattern of hosts is none; the text is what the dashboard would say."""


class Hosts:
    """The hosts by which the dashboard may be reached.

    Args:
        pattern: A regular expression that is looked for anywhere in the host, as in Go; it has to
            be anchored to mean a whole name. An empty one lets every host in.

    Raises:
        InvalidPatternError: It is no regular expression of Go's.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        foreign = _PERL.search(pattern)
        if foreign:
            raise InvalidPatternError(f"invalid or unsupported Perl syntax: `{foreign[0]}`")
        try:
            self._compiled = re.compile(pattern, re.ASCII)
        except re.error as error:
            raise InvalidPatternError(str(error)) from None

    def allow(self, host: str) -> bool:
        """Tell whether a Host header is one of them."""
        return self._compiled.search(host) is not None


def refusal(host: str, pattern: str) -> str:
    """Say why a request was denied, in the dashboard's words."""
    return (
        "It appears that you are trying to reach this service with a host of "
        f"'{host.translate(_ESCAPES)}'.\n"
        f"This does not match /{pattern.translate(_ESCAPES)}/ and has been denied for security "
        "reasons.\nPlease see https://linkerd.io/dns-rebinding for an explanation of what is "
        "happening and how to fix it.\n"
    )


class _Requests:
    """Counts requests."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[int, str]] = Counter()
        self._lock = threading.Lock()

    def count(self, status: int, method: str) -> None:
        with self._lock:
            self._counts[(status, method.lower())] += 1

    def text(self) -> str:
        """Give them in Prometheus' text format."""
        name = "http_server_requests_total"
        lines = [f"# TYPE {name} counter"]
        with self._lock:
            for (status, method), count in sorted(self._counts.items()):
                lines.append(f'{name}{{code="{status}",method="{method}"}} {count}')
        return "\n".join(lines) + "\n"


def _serve(settings: Settings, hosts: Hosts) -> None:
    requests = _Requests()

    class Dashboard(Reply):
        def do_GET(self) -> None:  # noqa: N802 - the name http.server calls
            host = self.headers.get("Host") or ""
            if not hosts.allow(host):
                body = refusal(host, hosts.pattern).encode()
                plain = "text/plain; charset=utf-8"
                self._answer(400, plain, body, X_Content_Type_Options="nosniff")
            elif self.path.partition("?")[0] == "/":
                self._answer(200, "text/html", _PAGE, **_SAFE)
            else:
                plain = "text/plain; charset=utf-8"
                self._answer(404, plain, b"404 page not found\n", **_SAFE)

        def _answer(self, status: int, kind: str, body: bytes, **headers: str) -> None:
            requests.count(status, self.command)
            self.reply(status, kind, body, **headers)

    class Admin(Reply):
        def do_GET(self) -> None:  # noqa: N802 - the name http.server calls
            self.admin(requests.text)

    for name, port in settings.ports.items():
        listen(settings, port, Dashboard if name == "http" else Admin)
    run(settings)


def _main() -> None:
    settings = Settings.load()
    flags = (arg for arg in settings.args if arg.startswith(_FLAG))
    try:
        hosts = Hosts(next(flags, "").removeprefix(_FLAG))
    except InvalidPatternError as error:
        log("fatal", f"invalid --enforced-host parameter: {error}")
        sys.exit(1)
    _serve(settings, hosts)


if __name__ == "__main__":
    _main()
