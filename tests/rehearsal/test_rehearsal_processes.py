"""Containers as processes: programs of others, two proxies and their TLS, probes, and their end."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from controllers_help import until
from cryptography import x509
from linkerd_identity import Identity, make_identity
from load_help import total

from runbook.rehearsal.kubelet import leaves
from runbook.rehearsal.kubelet.processes import Process, Program, write_files

HEAD = b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"


def name_of(account: str) -> str:
    return f"{account}.ns.serviceaccount.identity.linkerd.cluster.local"


def secret(identity: Identity) -> dict[str, Any]:
    data = identity.issuer["stringData"].items()
    return {"data": {key: base64.b64encode(value.encode()).decode() for key, value in data}}


@dataclass
class Relays:
    """Starts proxies and a server without a cluster, and ends them."""

    root: Path
    running: list[Process] = field(default_factory=list)

    def module(self, name: str, module: str, ports: tuple[int, ...], extra: Any) -> Process:
        (self.root / name).mkdir(exist_ok=True)
        ready = threading.Event()
        settings = {
            **{"ports": {}, "mounts": {}, "server": "", "ca": "", "token": "", "namespace": "ns"},
            **{"args": [], "node": "node2", "directory": str(self.root / name), "extra": extra},
        }
        process = Process(
            f"runbook.rehearsal.traffic.{module}",
            ports=ports,
            env={},
            settings=settings,
            log=self.root / name / "log",
            changed=ready.set,
        )
        self.running.append(process)
        assert ready.wait(20)
        return process

    def echo(self) -> int:
        return self.module("echo", "echo", (8080,), {}).addresses[8080]

    def relay(self, name: str, routes: Any, leaf: leaves.Leaf | None, delay: str = "") -> Process:
        directory = self.root / name
        write_files(directory / "routes", {"routes.json": json.dumps(routes).encode()})
        if leaf is not None:
            write_files(directory / "identity", leaf.files)
        inbound = [int(key) for key in routes["inbound"]]
        outbound = [int(key) for key in routes["outbound"]]
        extra = {
            "admin": 4191,
            "inbound": inbound,
            "outbound": outbound,
            "delay": delay,
            "build": {},
            "line": 20,
            "routes": str(directory / "routes" / "routes.json"),
            "identity": str(directory / "identity") if leaf is not None else "",
            "address": "10.42.1.9",
        }
        return self.module(name, "relay", (4191, *inbound, *outbound), extra)

    def server(self, port: int, leaf: leaves.Leaf | None, delay: str = "") -> Process:
        return self.relay(
            "server", {"inbound": {"8080": {"port": port}}, "outbound": {}}, leaf, delay
        )

    def client(self, port: int, name: str, leaf: leaves.Leaf | None) -> Process:
        to = {
            "port": port,
            "address": "10.42.1.9:8080",
            "name": name,
            "authority": "echo:8080",
            "labels": {"dst_service": "echo"},
        }
        return self.relay("client", {"inbound": {}, "outbound": {"65536": to}}, leaf)


@pytest.fixture
def relays(tmp_path: Path) -> Iterator[Relays]:
    made = Relays(tmp_path)
    yield made
    for process in reversed(made.running):
        process.stop()


def ask(port: int, request: bytes = HEAD, times: int = 1, heads: int = 1) -> list[bytes]:
    """Send a request over one connection several times; an answer is empty when it is closed.

    A request may be several in one, and is then answered by as many ``heads``: whoever closes
    before the last has come takes it away from the relays, too.
    """
    answers = []
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for _ in range(times):
            try:
                connection.sendall(request)
                answer = connection.recv(65536)
                while answer and answer.count(b"HTTP/1.1 ") < heads:
                    more = connection.recv(65536)
                    answer = answer + more if more else b""
                answers.append(answer)
            except ConnectionError:
                answers.append(b"")
    return answers


def admin(relay: Process, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", relay.addresses[4191], timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def metrics(relay: Process) -> str:
    status, text = admin(relay, "/metrics?x=y")
    assert status == 200
    return text


def test_two_proxies_prove_themselves_to_each_other(relays: Relays) -> None:
    identity = make_identity()
    ours, theirs = (
        leaves.issue(name_of(who), identity.anchors, secret(identity)) for who in ("cli", "srv")
    )
    server = relays.server(relays.echo(), theirs)
    client = relays.client(server.addresses[8080], name_of("srv"), ours)
    answers = ask(client.addresses[65536], times=3)
    assert all(answer.startswith(b"HTTP/1.1 200 OK") for answer in answers)
    there, here = metrics(server), metrics(client)
    assert total(there, "request_total", tls="true", client_id=name_of("cli")) == 3
    assert total(here, "request_total", direction="outbound", server_id=name_of("srv")) == 3
    assert total(here, "response_total", status_code="200", dst_service="echo") == 3
    assert ours is not None
    expiry = total(here, "control_identity_cert_expiration_timestamp_seconds")
    assert expiry == int(ours.expires.timestamp())


def test_what_goes_between_them_is_tls(relays: Relays) -> None:
    identity = make_identity()
    leaf = leaves.issue(name_of("cli"), identity.anchors, secret(identity))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = relays.client(listener.getsockname()[1], name_of("srv"), leaf)
        with socket.create_connection(("127.0.0.1", client.addresses[65536])) as connection:
            connection.sendall(HEAD)
            peer, _ = listener.accept()
            with peer:
                first = peer.recv(4096)
    assert first[0] == 0x16  # a TLS handshake record
    assert name_of("srv").encode() in first  # whom it wants, in the open as TLS has it
    assert b"/echo" not in first


@pytest.mark.parametrize("wrong", ["name", "client issuer", "server issuer", "no client leaf"])
def test_who_cannot_prove_itself_is_not_served(relays: Relays, wrong: str) -> None:
    identity, other = make_identity(), make_identity()

    def leaf(who: str, foreign: bool) -> leaves.Leaf | None:
        # A foreign one is signed by another issuer, whatever it trusts itself.
        return leaves.issue(name_of(who), identity.anchors, secret(other if foreign else identity))

    server = relays.server(relays.echo(), leaf("srv", wrong == "server issuer"))
    asked = name_of("somebody-else" if wrong == "name" else "srv")
    if wrong == "no client leaf":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=identity.anchors)
        with (
            socket.create_connection(("127.0.0.1", server.addresses[8080])) as plain,
            pytest.raises(OSError),
            context.wrap_socket(plain, server_hostname=asked) as secure,
        ):
            secure.sendall(HEAD)
            assert not secure.recv(100)
            raise ConnectionError
    else:
        client = relays.client(server.addresses[8080], asked, leaf("cli", wrong == "client issuer"))
        assert ask(client.addresses[65536]) == [b""]
    assert total(metrics(server), "request_total") == 0
    said = "".join((relays.root / name / "log").read_text() for name in ("server", "client")
                   if (relays.root / name / "log").exists())  # fmt: skip
    assert "TLS handshake failed" in said


def test_without_certificates_they_pass_plain_bytes(relays: Relays) -> None:
    server = relays.server(relays.echo(), None)
    client = relays.client(server.addresses[8080], "", None)
    assert ask(client.addresses[65536])[0].startswith(b"HTTP/1.1 200")
    assert total(metrics(server), "request_total", tls="no_identity") == 1
    # Two requests at once, the second with a body in two pieces, over one connection.
    post = b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nGET "
    assert ask(client.addresses[65536], HEAD + post, heads=2)[0].startswith(b"HTTP/1.1 200")
    until(lambda: total(metrics(server), "response_total") == 3)


def test_large_bodies_pass_unharmed(relays: Relays) -> None:
    identity = make_identity()
    ours, theirs = (
        leaves.issue(name_of(who), identity.anchors, secret(identity)) for who in ("cli", "srv")
    )
    server = relays.server(relays.echo(), theirs, "1ms")
    client = relays.client(server.addresses[8080], name_of("srv"), ours)
    body = os.urandom(3_000_000)
    connection = http.client.HTTPConnection("127.0.0.1", client.addresses[65536], timeout=20)
    for _ in range(2):
        connection.request("POST", "/echo", body)
        assert connection.getresponse().read() == body
    connection.close()
    assert total(metrics(server), "request_total", tls="true") == 2
    assert total(metrics(client), "request_total", tls="true") == 2


def test_a_renewed_certificate_is_taken_up(relays: Relays) -> None:
    identity = make_identity()
    first = leaves.issue(name_of("srv"), identity.anchors, secret(identity))
    server = relays.server(relays.echo(), first)
    assert total(metrics(server), "control_identity_cert_refreshes_total") == 1
    second = leaves.issue(name_of("srv"), identity.anchors, secret(identity))
    assert second is not None
    write_files(relays.root / "server" / "identity", second.files)
    ask(server.addresses[8080])
    assert total(metrics(server), "control_identity_cert_refreshes_total") == 2


def test_admin_endpoints(relays: Relays) -> None:
    server = relays.server(1, None)
    assert admin(server, "/ready") == (200, "ready\n")
    assert admin(server, "/live") == (200, "live\n")
    assert admin(server, "/shutdown")[0] == 404


def test_a_new_route_counts_for_the_next_connection(relays: Relays) -> None:
    server = relays.server(1, None)  # nobody listens there
    assert ask(server.addresses[8080]) == [b""]
    routes = {"inbound": {"8080": {"port": relays.echo()}}, "outbound": {}}
    write_files(relays.root / "server" / "routes", {"routes.json": json.dumps(routes).encode()})
    assert ask(server.addresses[8080])[0].startswith(b"HTTP/1.1 200")


def test_delays_of_requests_overlap(relays: Relays) -> None:
    server = relays.server(relays.echo(), None, "300ms")
    begun = time.monotonic()
    with_all = [threading.Thread(target=ask, args=(server.addresses[8080],)) for _ in range(20)]
    for thread in with_all:
        thread.start()
    for thread in with_all:
        thread.join()
    taken = time.monotonic() - begun
    assert 0.299 < taken < 5.5  # one after the other it would be 6 s
    assert total(metrics(server), "rehearsal_delay_seconds_count") == 20


def test_leaves_are_those_of_linkerd() -> None:
    identity = make_identity()
    leaf = leaves.issue(name_of("web"), identity.anchors, secret(identity))
    assert leaf is not None
    certificate, issuer = x509.load_pem_x509_certificates(leaf.files["tls.crt"])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [name_of("web")]
    certificate.verify_directly_issued_by(issuer)
    assert abs(leaf.expires - datetime.now(UTC) - timedelta(hours=24)) < timedelta(minutes=1)
    assert leaves.due(leaf) == pytest.approx(0.7 * 24 * 3600, abs=60)
    day = timedelta(hours=24)
    old = leaves.Leaf({}, leaf.issued - day * 0.71, leaf.expires - day * 0.71)
    assert -900 < leaves.due(old) < 0
    assert leaves.control_namespace(name_of("web")) == "linkerd"
    assert leaves.control_namespace("web") == ""
    assert leaves.issue(name_of("web"), identity.anchors, {"data": {}}) is None


def test_probe_speaks_at_once_and_of_heat(relays: Relays) -> None:
    relays.module("probe", "probe", (), {})
    log = relays.root / "probe" / "log"

    def lines() -> list[Any]:
        return [json.loads(line) for line in log.read_text().splitlines()]

    (first,) = until(lines)
    assert set(first) == {
        "t",
        "temp_mc",
        "khz",
        "governor",
        "throttled",
        "model",
        "stat",
        "rehearsal",
    }
    assert first["rehearsal"] is True
    assert first["throttled"] == "0x0"
    assert first["stat"].startswith("cpu  ")
    assert abs(first["t"] - time.time()) < 60
    (relays.root / "probe" / "throttled").touch()
    second = until(lambda: lines()[1:])[0]
    assert (second["throttled"], second["temp_mc"]) == ("0x60006", 82_000)


# programs of others


def program(tmp_path: Path, script: str, ports: tuple[int, ...] = ()) -> tuple[Program, Path]:
    ended = threading.Event()
    log = tmp_path / "log"
    made = Program(
        "/bin/sh",
        arguments=lambda places: ["-c", script, *(str(port) for port in places.values())],
        ports=ports,
        env={},
        log=log,
        changed=ended.set,
    )
    return made, log


def test_program_says_and_ends(tmp_path: Path) -> None:
    made, log = program(tmp_path, "echo out; echo err >&2; printf 'half '; echo er2 >&2; exit 3")
    until(lambda: made.exit_code is not None)
    assert made.exit_code == 3
    assert sorted(log.read_text().split()) == ["er2", "err", "half", "out"]
    used = made.cpu
    assert 0 < used < 5e9
    assert made.cpu == used  # still known when it is gone


def test_program_is_ready_when_it_listens(tmp_path: Path) -> None:
    script = tmp_path / "listen.py"
    script.write_text(
        "import socket, sys\n"
        "listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
        "sys.stdin.read()\n"
    )
    made, _ = program(tmp_path, f'exec {sys.executable} {script} "$0"', (8080,))
    until(lambda: made.ready)
    socket.create_connection(("127.0.0.1", made.addresses[8080])).close()
    assert made.memory[0] > made.memory[1] > 1e6
    made.stop()
    assert made.exit_code == -signal.SIGTERM
    assert not made.ready


def test_program_that_never_listens_ends_unready(tmp_path: Path) -> None:
    made, _ = program(tmp_path, "exit 1", (8080,))
    until(lambda: made.exit_code == 1)
    assert not made.ready


def test_program_that_will_not_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbook.rehearsal.kubelet.processes._GRACE", 0.2)
    made, log = program(tmp_path, "trap '' TERM; echo deaf; while :; do sleep 0.05; done")
    until(lambda: "deaf" in log.read_text())
    made.stop()
    assert made.exit_code == -signal.SIGKILL


def test_everything_dies_with_its_parent(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys, threading
        from pathlib import Path
        sys.path.insert(0, sys.argv[2])
        from test_rehearsal_processes import Relays
        from runbook.rehearsal.kubelet.processes import Program
        root = Path(sys.argv[1])
        relays = Relays(root)
        server = relays.server(relays.echo(), None)
        relays.module("probe", "probe", (), {})
        (root / "sleep").mkdir()
        program = Program("/bin/sleep", arguments=lambda _: ["1000"], ports=(), env={},
                          log=root / "sleep" / "log", changed=lambda: None)
        print(*(process.pid for process in [*relays.running, program]), flush=True)
        threading.Event().wait()
        """
    )
    here = str(Path(__file__).parent)
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), here], stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        children = [int(word) for word in parent.stdout.readline().split()]
        assert len(children) == 4
        assert all(_alive(child) for child in children)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        until(lambda: not any(_alive(child) for child in children))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    # A zombie is over: it only waits for somebody to look.
    return stat.rpartition(")")[2].split()[0] != "Z"
