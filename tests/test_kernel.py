"""Kernels: forked or started, ready when asked for, gone when their batch is."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runbook import forked, kernel
from runbook.errors import InfrastructureError
from runbook.kernel import Kernel, Kernels, warm_up

FORKED = pytest.param(
    True, marks=pytest.mark.skipif(not forked.AVAILABLE, reason="kernels are forked on Linux only")
)
BOTH = pytest.mark.parametrize("fork", [FORKED, False], ids=["forked", "started"])


@pytest.fixture(autouse=True)
def warm() -> None:
    warm_up()


async def evaluate(used: Kernel, code: str) -> str:
    """Execute code and give what it printed, or the name of its error."""
    request = used.client.execute(code)
    said = ""
    while True:
        message = await used.client.iopub_channel.get_msg(timeout=30)
        if message["parent_header"].get("msg_id") != request:
            continue
        content = message["content"]
        said += content.get("text", "") + content.get("ename", "")
        if message["msg_type"] == "status" and content["execution_state"] == "idle":
            return said.strip()


def values(kernels: Kernels, used: Kernel, expression: str) -> Any:
    return eval(kernels.run(evaluate(used, f"import os, sys\nprint(repr({expression}))")))


@BOTH
def test_each_is_a_process_of_its_own(fork: bool) -> None:
    with Kernels(3, forked=fork) as kernels:
        seen = []
        for _ in range(3):
            used = kernels.run(kernels.take())
            seen.append(values(kernels, used, "(os.getpid(), 'mark' in globals())"))
            kernels.run(evaluate(used, "mark = 1"))
            kernels.release(used)
    assert len({pid for pid, _ in seen}) == 3
    assert not any(marked for _, marked in seen)
    assert os.getpid() not in {pid for pid, _ in seen}


@BOTH
def test_modules_are_there_already(fork: bool) -> None:
    with Kernels(1, forked=fork) as kernels:
        used = kernels.run(kernels.take())
        assert values(kernels, used, "'runbook.step' in sys.modules") is True
        assert values(kernels, used, "'helm_python' in sys.modules") is False


@BOTH
def test_environment_and_directory_are_those_of_the_moment(
    fork: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RUNBOOK_TEST_MARK", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with Kernels(1, forked=fork) as kernels:
        used = kernels.run(kernels.take())
        seen = values(kernels, used, "(os.environ['RUNBOOK_TEST_MARK'], os.getcwd())")
    assert seen == (str(tmp_path), str(tmp_path))


@BOTH
def test_connection_and_files_are_private_and_gone_afterwards(fork: bool) -> None:
    with Kernels(1, forked=fork) as kernels:
        used = kernels.run(kernels.take())
        info = used.manager.get_connection_info()
        assert info["transport"] == "ipc"
        folder = Path(info["ip"]).parent
        assert folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) == 0
        made = values(kernels, used, "__import__('tempfile').mkstemp()[1]")
        assert Path(made).parent == folder
    assert not folder.exists()


def test_files_of_a_killed_batch_go_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    left, alive = (
        tmp_path / f"runbook-kernel-{gone.pid}-x",
        tmp_path / f"runbook-kernel-{os.getpid()}-x",
    )
    left.mkdir()
    alive.mkdir()
    with Kernels(0, forked=False):
        assert not left.exists()
    assert alive.exists()


def test_a_long_directory_falls_back_to_encrypted_ports(tmp_path: Path) -> None:
    short = kernel._transport(Path("/tmp/x"))
    assert short["transport"] == "ipc"
    long = kernel._transport(tmp_path / ("x" * 90))
    assert long == {"transport": "tcp", "transport_encryption": "auto"}


def test_a_long_temporary_directory_is_no_error(tmp_path: Path) -> None:
    """A socket's path has 108 bytes on Linux, and nobody chooses TMPDIR with that in mind."""
    place = tmp_path / ("long-" * 20)
    place.mkdir()
    code = "from runbook.kernel import warm_up; print(warm_up())"
    environment = {**os.environ, "TMPDIR": str(place)}
    command = [sys.executable, "-c", code]
    said = subprocess.check_output(command, env=environment, text=True, timeout=60)
    assert said == "False\n"


@BOTH
def test_interrupt_reaches_the_cell(fork: bool) -> None:
    async def interrupted(used: Kernel) -> str:
        work = asyncio.ensure_future(evaluate(used, "print(1)\nimport time\ntime.sleep(60)"))
        while True:
            await used.interrupt()
            done, _ = await asyncio.wait([work], timeout=0.2)
            if done:
                return work.result()

    with Kernels(1, forked=fork) as kernels:
        used = kernels.run(kernels.take())
        assert kernels.run(interrupted(used)).endswith("KeyboardInterrupt")


def test_a_kernel_that_cannot_be_forked_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr("multiprocessing.get_context", broken)
    with Kernels(1, forked=True) as kernels:
        used = kernels.run(kernels.take())
        assert values(kernels, used, "1 + 1") == 2


def test_a_kernel_that_never_starts_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bool] = []

    class Broken(Kernel):
        def __init__(self, directory: Path, *, forked: bool, output: Path | None) -> None:
            super().__init__(directory, forked=forked, output=output)
            tried.append(forked)

        def _environment(self) -> dict[str, str]:
            return {**super()._environment(), "PYTHONHOME": "/nonsense"}

    monkeypatch.setattr(kernel, "Kernel", Broken)
    with Kernels(1, forked=False) as kernels, pytest.raises(InfrastructureError) as caught:
        kernels.run(kernels.take())
    assert tried == [False, False], "tried once more"
    assert "did not start" in caught.value.what
    assert "encodings" in caught.value.why, "the last words of the process"


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Any]:
    """Give a function that kills a batch from within its kernel, and give the kernel's number."""
    program = """
import sys
from runbook.kernel import Kernels, warm_up

if __name__ == "__main__":
    fork = sys.argv[2] == "True" and warm_up()
    with Kernels(1, forked=fork) as kernels:
        used = kernels.run(kernels.take())
        code = "import os; open(%r, 'w').write(str(os.getpid())); os.kill(%d, 9)"
        import os
        used.client.execute(code % (sys.argv[1], os.getpid()))
        kernels.run(used.client.iopub_channel.get_msg(timeout=30))
        import time
        time.sleep(60)
"""
    script = tmp_path / "batch.py"
    script.write_text(program)
    mark = tmp_path / "pid"

    def go(fork: bool) -> int:
        command = [sys.executable, str(script), str(mark), str(fork)]
        done = subprocess.run(command, timeout=60, check=False)
        assert done.returncode == -signal.SIGKILL
        return int(mark.read_text())

    yield go


@BOTH
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_ends_with_a_killed_batch(killed: Any, fork: bool) -> None:
    status = Path(f"/proc/{killed(fork)}/stat")
    for _ in range(500):
        if not status.exists() or " Z " in status.read_text():
            return
        threading.Event().wait(0.01)
    pytest.fail("the kernel outlived its batch by five seconds")


@pytest.mark.skipif(not forked.AVAILABLE, reason="kernels are forked on Linux only")
def test_what_is_loaded_ahead_starts_no_thread_and_no_helm() -> None:
    program = (
        "import runbook.warm, runbook.forked, sys, threading\n"
        "from pathlib import Path\n"
        "assert 'helm_python' not in sys.modules\n"
        "assert threading.active_count() == 1\n"
        "assert len(list(Path('/proc/self/task').iterdir())) == 1, 'native threads'\n"
    )
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", program], check=True, env=env)
