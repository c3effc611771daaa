"""Make the recordings of fortio anew: real loads on loopback, a few seconds each.

    .venv/bin/python tests/bench/record_fortio.py FORTIO...

Takes the programs of one or more versions of fortio; the first records everything, the others
what may differ between versions. Standard output and standard error are read through a pipe each
and interleaved by lines as they come, as a container runtime does.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from runbook.bench.fortio import GRPC_PORT, HTTP_PORT, load_args, server_args

PLACE = Path(__file__).parent / "recordings"


def local(args: Sequence[str]) -> list[str]:
    """Keep a server's ports to loopback."""
    ports = {str(HTTP_PORT), str(GRPC_PORT)}
    return [f"127.0.0.1:{arg}" if arg in ports else arg for arg in args]


@contextmanager
def server(program: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends."""
    process = subprocess.Popen(
        [program, *local(server_args())], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for port in (HTTP_PORT, GRPC_PORT):
            _wait_for(port)
        yield process
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def load(program: str, args: Sequence[str], meanwhile: Callable[[], None] = lambda: None) -> str:
    """Run a load and give what its pod's log would be."""
    process = subprocess.Popen([program, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    lines: list[bytes] = []
    readers = [
        threading.Thread(target=lines.extend, args=(stream,))
        for stream in (process.stdout, process.stderr)
    ]
    for reader in readers:
        reader.start()
    meanwhile()
    for reader in readers:
        reader.join()
    process.wait()
    text = b"".join(lines).decode()
    assert os.uname().nodename not in text
    assert not set(re.findall(r"\d+\.\d+\.\d+\.\d+", text)) - {"127.0.0.1"}
    return text


def args(
    protocol: str = "http1",
    *,
    rps: float = 100,
    seconds: float = 2,
    connections: int = 4,
    payload: int = 1024,
    extra: Sequence[str] = (),
    query: str = "",
) -> list[str]:
    made = load_args(
        "127.0.0.1",
        rps=rps,
        connections=connections,
        seconds=seconds,
        protocol=protocol,  # type: ignore[arg-type]
        payload=payload,
        labels=f"recorded {protocol}",
    )
    return [*made[:-1], *extra, made[-1] + query]


def stall(process: subprocess.Popen[bytes], after: float = 1.0, seconds: float = 0.5) -> None:
    """Let a server stand still for a while."""
    time.sleep(after)
    process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    process.send_signal(signal.SIGCONT)


def lose(process: subprocess.Popen[bytes]) -> None:
    """Let a server disappear."""
    time.sleep(1)
    process.kill()


def write(name: str, text: str) -> None:
    assert len(text) < 60_000, f"{name}: {len(text)} bytes"
    (PLACE / f"{name}.log").write_text(text)
    print(f"{name}: {len(text)} bytes")


def each_version(program: str, version: str) -> None:
    with server(program) as running:
        for protocol in ("http1", "http2", "grpc"):
            write(f"{version}-{protocol}", load(program, args(protocol)))
        stalled = load(program, args(seconds=3), lambda: stall(running))
        write(f"{version}-stall", stalled)


def once(program: str, version: str) -> None:
    refused = load(program, args())
    write(f"{version}-refused", refused)
    write(f"{version}-refused-grpc", load(program, args("grpc")))
    with server(program) as running:
        text = ""
        while '"503": ' not in text:  # when not the very first requests fail, which ends it
            text = load(program, args(query="&status=503:20"))
        write(f"{version}-errors", text)
        write(f"{version}-empty", load(program, args(payload=0, rps=20)))
        skipping = args(seconds=3, extra=["-nocatchup"])
        write(f"{version}-nocatchup", load(program, skipping, lambda: stall(running)))
        write(f"{version}-jitter", load(program, args(rps=20, extra=["-jitter"])))
        write(f"{version}-max", load(program, args(rps=0, seconds=0.01)))
        texts = ["", ""]

        def generator(number: int) -> None:
            time.sleep(0.2 * number)
            texts[number] = load(program, args(rps=50, connections=2, seconds=2.5))

        both = [threading.Thread(target=generator, args=(number,)) for number in (0, 1)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        for number, text in enumerate(texts):
            write(f"{version}-generator-{number}", text)
        late = args(rps=40, seconds=2)
        write(f"{version}-lost", load(program, late, lambda: lose(running)))
    with server(program) as running:
        late = args("grpc", rps=40, seconds=2)
        write(f"{version}-lost-grpc", load(program, late, lambda: lose(running)))


def main(programs: Sequence[str]) -> None:
    for number, program in enumerate(programs):
        said = subprocess.run([program, "version"], capture_output=True, text=True, check=True)
        version = said.stdout.split()[0]
        each_version(program, version)
        if number == 0:
            once(program, version)


if __name__ == "__main__":
    main(sys.argv[1:])
