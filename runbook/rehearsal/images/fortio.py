"""Fortio: the real program where there is one, else stand-ins for its server and generator."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping

from runbook.rehearsal.client import Object
from runbook.rehearsal.images.kinds import Behaviour, Notice, Situation

__all__ = ["Fortio", "is_fortio", "served", "target"]

_LISTENS = {"http-port": 8080, "grpc-port": 8079, "tcp-port": 8078}
"""Flags of ``fortio server`` for ports it listens on, with their defaults."""
_ELSEWHERE = ("redirect-port", "udp-port")
"""Flags for ports that nobody in the rehearsal asks for: they are switched off."""
_FLAG = re.compile(r"^--?([a-z0-9-]+)(?:=(.*))?$", re.IGNORECASE)
_URL = re.compile(r"^(?P<scheme>[a-z]+://)?(?P<host>[^/:?]+)(?::(?P<port>\d+))?(?P<rest>[/?].*)?$")


class Fortio:
    """The container ``fortio``."""

    def start(self, situation: Situation) -> Behaviour:
        """Run the server or the generator, as the first argument says."""
        words = _words(situation.container)
        if words[:1] == ["server"]:
            return _server(situation.container, words)
        if words[:1] == ["load"]:
            return _load(words)
        said = f"rehearsal: fortio {' '.join(words[:1]) or '(no command)'} is not simulated"
        return Behaviour(exit_code=1, log=(said,))

    def changed(self, before: Situation, after: Situation) -> Notice | None:
        """Do nothing."""
        return None


def is_fortio(container: Object) -> bool:
    """Tell whether a container runs as Fortio."""
    return container["name"] == "fortio" and "fortio" in container.get("image", "")


def served(container: Object) -> tuple[int, ...]:
    """Give the container ports a server listens on; none for a generator."""
    words = _words(container)
    if words[:1] != ["server"]:
        return ()
    flags = _flags(words)
    ports = [_port(flags.get(name, str(number))) for name, number in _LISTENS.items()]
    return tuple(port for port in ports if port)


def target(container: Object) -> str:
    """Give ``host:port`` of whom a generator talks to; empty for a server."""
    words = _words(container)
    if words[:1] != ["load"] or len(words) < 2 or words[-1].startswith("-"):
        return ""
    found = _URL.match(words[-1])
    if found is None:
        return ""
    default = "443" if found["scheme"] == "https://" else "80"
    return f"{found['host']}:{found['port'] or default}"


def _program() -> str:
    return shutil.which("fortio") or ""


def _server(container: Object, words: list[str]) -> Behaviour:
    program = _program()
    ports = served(container)
    if not program:
        return Behaviour(module="runbook.rehearsal.traffic.echo", ports=ports)

    def arguments(places: Mapping[int, int], _: str) -> tuple[str, ...]:
        flags = _flags(words)
        own: list[str] = []
        for name, number in _LISTENS.items():
            port = _port(flags.get(name, str(number)))
            where = f"127.0.0.1:{places[port]}" if port else "disabled"
            own += [f"-{name}", where]
        for name in _ELSEWHERE:
            own += [f"-{name}", "disabled"]
        rest = _without(words[1:], {*_LISTENS, *_ELSEWHERE})
        return ("server", *own, *rest)

    return Behaviour(program=program, ports=ports, arguments=arguments)


def _load(words: list[str]) -> Behaviour:
    program = _program()
    asked = target({"name": "fortio", "args": words})

    def arguments(_: Mapping[int, int], place: str) -> tuple[str, ...]:
        found = _URL.match(words[-1])
        if found is None or not place:
            return tuple(words)
        return (*words[:-1], f"{found['scheme'] or ''}{place}{found['rest'] or ''}")

    if program:
        return Behaviour(program=program, target=asked, arguments=arguments)
    module = "runbook.rehearsal.traffic.generator"
    return Behaviour(module=module, target=asked, arguments=arguments)


def _words(container: Object) -> list[str]:
    """Give the arguments from Fortio's own command on, whatever wraps it."""
    words = [*(container.get("command") or []), *(container.get("args") or [])]
    places = [number for number, word in enumerate(words) if word in ("server", "load")]
    return [str(word) for word in words[places[0] :]] if places else []


def _flags(words: list[str]) -> dict[str, str]:
    result = {}
    for word, following in zip(words, [*words[1:], ""], strict=True):
        found = _FLAG.match(word)
        if found:
            result[found[1]] = found[2] if found[2] is not None else following
    return result


def _without(words: list[str], names: set[str]) -> list[str]:
    """Leave out flags and their values."""
    result = []
    skip = False
    for word in words:
        if skip:
            skip = False
            continue
        found = _FLAG.match(word)
        if found and found[1] in names:
            skip = found[2] is None
            continue
        result.append(word)
    return result


def _port(text: str) -> int:
    """Read a port as Fortio takes it: ``8080``, ``:8080``, ``0.0.0.0:8080``, ``disabled``."""
    number = text.rpartition(":")[2]
    return int(number) if number.isdigit() else 0
