"""A stand-in for ``fortio load``: an open-loop generator with Fortio's schedule and output.

Its result says ``"Version": "rehearsal"``, so that nobody takes it for Fortio's.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from runbook.rehearsal.images.settings import Settings
from runbook.rehearsal.traffic.client import Caller, Outcome
from runbook.rehearsal.traffic.clock import Clock
from runbook.rehearsal.traffic.flags import Flags, FlagsError, parse
from runbook.rehearsal.traffic.report import Run, result

__all__ = ["due", "main"]

_FLUSH = 16 * 1024
"""Bytes of access log that are written at once."""


def due(thread: int, call: int, calls: int, flags: Flags) -> float:
    """Give when a call shall be sent, in seconds after the start.

    Fortio's ``periodic.go``: the calls of a thread are spread so that the last one but a bit falls
    on the end, and ``-uniform`` shifts thread k by k/qps.

    Args:
        thread: Number of the thread, from 0.
        call: Number of the call in the thread, from 0.
        calls: How many each thread makes.
        flags: The run.
    """
    shift = thread / flags.qps if flags.uniform else 0.0
    place = call + (call / (calls - 1) if calls > 1 else 0.0)
    return shift + place / (flags.qps / flags.connections)


class Output:
    """Where the lines go.

    Args:
        flags: The run.
    """

    def __init__(self, flags: Flags) -> None:
        self._log = -1
        self._lines: list[str] = []
        self._size = 0
        if flags.access_log:
            self._log = os.open(flags.access_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def access(self, outcome: Outcome, thread: int, call: int) -> None:
        """Add a line to the access log."""
        if self._log < 0:
            return
        line = (
            f'{{"latency":{outcome.seconds:.6f},"timestamp":{outcome.sent},"thread":{thread},'
            f'"iter":{call},"ok":{"true" if outcome.ok else "false"},'
            f'"details":"{outcome.status}"}}\n'
        )
        self._lines.append(line)
        self._size += len(line)
        if self._size > _FLUSH:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        if self._lines:
            data = "".join(self._lines).encode()
            self._lines, self._size = [], 0
            while data:
                data = data[os.write(self._log, data) :]


def event(level: str, text: str, **more: object) -> None:
    """Say something on standard error, as Fortio's logger does."""
    stamp = round(time.time(), 6)
    line = {"ts": stamp, "level": level, "r": 1, "msg": text, **more}
    print(json.dumps(line, separators=(",", ":")), file=sys.stderr, flush=True)


def human(text: str) -> None:
    """Say something to people on standard error."""
    print(text, file=sys.stderr, flush=True)


async def main(words: list[str], ready: Callable[[], None]) -> int:
    """Run once.

    Args:
        words: The arguments, ``load`` first.
        ready: Called before the first request.

    Returns:
        The exit code: 1 when the arguments are wrong or the first request fails.
    """
    try:
        flags = parse(words)
    except FlagsError as error:
        human(f"rehearsal: {error}")
        return 1
    total = int(flags.qps * flags.seconds)
    threads = min(flags.connections, max(total // 2, 1))
    if threads < flags.connections:
        event("warn", f"Lowering number of threads - total call {total} -> lowering from "
              f"{flags.connections} to {threads} threads")  # fmt: skip
        flags = Flags(**{**vars(flags), "connections": threads})
    event("info", "Starting http test", run=flags.run, url=flags.url, threads=threads,
          qps=f"{flags.qps:.1f}", warmup="parallel")  # fmt: skip
    callers = [_caller(flags) for _ in range(threads)]
    ready()
    for outcome in await asyncio.gather(*(caller.call() for caller in callers)):
        if not outcome.ok and not flags.allow_initial_errors:
            human(f"Aborting because of error {outcome.status} for {flags.url} "
                  f"({outcome.size} bytes)")  # fmt: skip
            return 1
    human(f"Starting at {flags.qps:g} qps with {threads} thread(s) [rehearsal] for "
          f"{flags.seconds:g}s : {total // threads} calls each "
          f"(total {total // threads * threads})")  # fmt: skip
    run = await _run(flags, callers, max(total // threads, 1))
    _finish(flags, run)
    for caller in callers:
        caller.close()
    return 0


def _caller(flags: Flags) -> Caller:
    where = urlsplit(flags.url)
    path = (where.path or "/") + (f"?{where.query}" if where.query else "")
    body = flags.body
    lines = [
        f"{'POST' if body else 'GET'} {path} HTTP/1.1",
        f"Host: {where.netloc}",
        "User-Agent: fortio.org/fortio-rehearsal",
        *flags.headers,
    ]
    if body:
        lines += ["Content-Type: application/octet-stream", f"Content-Length: {len(body)}"]
    request = "\r\n".join([*lines, "", ""]).encode() + body

    def tell(text: str) -> None:
        if flags.log_errors:
            event("err", text, url=flags.url)

    return Caller(where.hostname or "", where.port or 80, request, flags.timeout, tell)


async def _run(flags: Flags, callers: list[Caller], calls: int) -> Run:
    loop = asyncio.get_running_loop()
    clock = Clock(loop)
    output = Output(flags)
    run = Run(flags, started=datetime.now(UTC), started_ns=time.time_ns())
    start = loop.time()

    async def thread(number: int, caller: Caller) -> None:
        end = start + flags.seconds
        for call in range(calls):
            moment = start + due(number, call, calls, flags)
            if moment > loop.time():
                run.slept += 1
                await clock.sleep_until(moment)
            elif call:
                run.behind += 1
            if loop.time() > end and 2 <= call < calls - 1:  # the last one is always made
                event("warn", f"T{number:03d} warning only did {call} out of {calls} calls "
                      f"before reaching {flags.seconds:g}s")  # fmt: skip
                break
            outcome = await caller.call()
            run.outcomes.append(outcome)
            output.access(outcome, number, call)

    await asyncio.gather(*(thread(n, caller) for n, caller in enumerate(callers)))
    run.elapsed = loop.time() - start
    run.connects = [list(caller.connects) for caller in callers]
    output.flush()
    return run


def _finish(flags: Flags, run: Run) -> None:
    for line in _story(flags, run):
        human(line)
    if flags.json:
        text = json.dumps(result(run), indent=2, ensure_ascii=False) + "\n"
        if flags.json == "-":
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            Path(flags.json).write_text(text, encoding="utf-8")


def _story(flags: Flags, run: Run) -> Iterator[str]:
    """Tell people how it went, in the lines of Fortio that others read."""
    count = len(run.outcomes)
    rate = count / run.elapsed if run.elapsed else 0.0
    mean = sum(o.seconds for o in run.outcomes) / count * 1e3 if count else 0.0
    yield f"Ended after {run.elapsed:.9f}s : {count} calls. qps={rate:.5g}"
    paced = run.slept + run.behind
    if paced and run.behind / paced > 0.05:
        yield f"WARNING {100 * run.behind / paced:.2f}% of sleep were falling behind"
    for status, number in sorted(Counter(o.status for o in run.outcomes).items()):
        yield f"Code {status:3d} : {number} ({100 * number / count:.1f} %)"
    used = sum(len(connects) for connects in run.connects)
    yield f"Sockets used: {used} (for perfect keepalive, would be {flags.connections})"
    yield (
        f"All done {count} calls (plus {flags.connections} warmup) "
        f"{mean:.3f} ms avg, {rate:.1f} qps"
    )


if __name__ == "__main__":
    found = Settings.load()
    found.end_with_kubelet()
    code = asyncio.run(main(found.args, found.tell_ready))
    sys.stdout.flush()
    os._exit(code)
