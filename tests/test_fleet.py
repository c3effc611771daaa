"""Several clusters side by side: which files are for which, and processes of the test's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import pytest

from runbook import fleet
from runbook.cli.fleet import _Lines, again, run_fleet
from runbook.errors import ParameterError
from runbook.fleet import Ended, Target, severest, targets

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Give a function that writes a parameter file."""

    def go(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return go


def shape(found: Sequence[Target]) -> dict[str, list[str]]:
    return {target.name: [file.name for file in target.files] for target in found}


# --- which files are for which cluster ----------------------------------------------------------


def test_no_file_is_one_target() -> None:
    assert targets([]) == (Target("rehearsal", ()),)


def test_files_of_one_cluster_are_one_target(write: Write) -> None:
    files = [
        write("a.yaml", "cluster: pi\n"),
        write("b.yaml", "timeout: 5\n"),
        write("c.yaml", "cluster: pi\nmode: plan\n"),
    ]
    assert targets(files) == (Target("pi", tuple(files)),)


def test_each_cluster_is_a_target_and_the_rest_is_common(write: Write) -> None:
    files = [
        write("first.yaml", "timeout: 5\n"),
        write("south.yaml", "cluster: south\n"),
        write("north.yaml", "cluster: north\n"),
        write("last.yaml", "timeout: 6\n"),
        write("south-more.yaml", "cluster: south\nmode: plan\n"),
    ]
    assert shape(targets(files)) == {
        "south": ["first.yaml", "south.yaml", "last.yaml", "south-more.yaml"],
        "north": ["first.yaml", "north.yaml", "last.yaml"],
    }


def test_a_kubeconfig_alone_tells_targets_apart(write: Write) -> None:
    files = [
        write("all.yaml", "cluster: default\n"),  # as K3s names every context
        write("attic.yaml", "kubeconfig: attic/k3s.yaml\n"),
        write("cellar.yaml", "kubeconfig: cellar/k3s.yaml\n"),
    ]
    assert shape(targets(files)) == {
        "attic": ["all.yaml", "attic.yaml"],
        "cellar": ["all.yaml", "cellar.yaml"],
    }


def test_a_kubeconfig_for_all_is_common(write: Write) -> None:
    files = [
        write("k.yaml", "kubeconfig: all.config\n"),
        write("a.yaml", "cluster: a\n"),
        write("b.yaml", "cluster: b\n"),
    ]
    assert shape(targets(files)) == {"a": ["k.yaml", "a.yaml"], "b": ["k.yaml", "b.yaml"]}


def test_one_kubeconfig_written_in_two_ways_is_one(write: Write) -> None:
    home = Path.home()
    files = [write("a.yaml", "kubeconfig: ~/k\n"), write("b.yaml", f"kubeconfig: {home}/k\n")]
    assert len(targets(files)) == 1


def test_clusters_of_one_name_are_named_by_their_files(write: Write) -> None:
    one, two = "cluster: default\nkubeconfig: a\n", "cluster: default\nkubeconfig: b\n"
    assert list(shape(targets([write("a.yaml", one), write("b.yaml", two)]))) == ["a", "b"]
    same = [write("a/pi.yaml", one), write("b/pi.yaml", two)]
    assert list(shape(targets(same))) == ["pi-1", "pi-2"]


def test_both_may_differ_when_each_file_names_its_cluster(write: Write) -> None:
    files = [
        write("a.yaml", "cluster: a\nkubeconfig: a\n"),
        write("b.yaml", "cluster: b\nkubeconfig: b\n"),
        write("c.yaml", "cluster: c\n"),
    ]
    assert shape(targets(files)) == {"a": ["a.yaml"], "b": ["b.yaml"], "c": ["c.yaml"]}
    with pytest.raises(ParameterError, match=r"d\.yaml: names a kubeconfig but no cluster"):
        targets([*files, write("d.yaml", "kubeconfig: d\n")])


def test_the_command_line_names_one_cluster(write: Write) -> None:
    files = [write("a.yaml", "cluster: a\n"), write("b.yaml", "cluster: b\n")]
    assert targets(files, {"cluster": "c"}) == (Target("c", tuple(files)),)
    assert len(targets(files, {"kubeconfig": "k"})) == 2
    assert len(targets(files, {"mode": "plan"})) == 2


def test_every_wrong_file_is_told_at_once(write: Write) -> None:
    files = [
        write("common.yaml", "timeot: 5\n"),
        write("a.yaml", "cluster: a\nmode: aply\n"),
        write("b.yaml", "cluster: b\nline: edge-9\n"),
    ]
    with pytest.raises(ParameterError) as caught:
        targets(files)
    for words in ("did you mean timeout?", "a.yaml:2", "'plan', 'apply' or 'verify'", "b.yaml:2"):
        assert words in str(caught.value)
    with pytest.raises(ParameterError) as caught:
        targets([write("no.yaml", "- a list\n"), write("a.yaml", "cluster: a\n"), Path("absent")])
    assert "no.yaml" in str(caught.value)
    assert "absent" in str(caught.value)


def test_one_wrong_file_is_told_as_usual(write: Write) -> None:
    files = [write("common.yaml", "timeot: 5\n"), write("a.yaml", "cluster: a\n")]
    with pytest.raises(ParameterError, match="there is no parameter 'timeot'") as caught:
        targets([*files, write("b.yaml", "cluster: b\n")])
    assert "did you mean timeout?" in caught.value.fix


# --- exit status --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statuses", "severe"),
    [([0, 0], 0), ([0, 1], 1), ([2, 1], 2), ([3, 2, 0], 3), ([4, 3], 4), ([4, 130, 0], 130)],
)
def test_the_severest_exit_status_is_given(statuses: list[int], severe: int) -> None:
    assert severest(statuses) == severe


# --- processes ----------------------------------------------------------------------------------

RECORDED = """
import json, sys
from pathlib import Path
from runbook import holder
from runbook.ledger import Ledger
def record(output, name, **result):
    directory = Path(output) / name
    directory.mkdir(parents=True)
    Ledger(name, 1, {}, [], holder.mine()).write(directory)
    (directory / "result.json").write_text(json.dumps(result))
"""
PASSED = '{"pass": 2, "warn": 0, "fail": 0, "skip": 0}'


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


class Shown:
    """What the processes wrote, remembered."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, bool]] = []
        self.on_line: Callable[[str], None] = lambda _: None

    def __call__(self, target: str, line: str, *, error: bool) -> None:
        self.lines.append((target, line, error))
        self.on_line(line)

    def of(self, target: str, *, error: bool = False) -> list[str]:
        return [line for name, line, at in self.lines if (name, at) == (target, error)]


@pytest.fixture
def shown() -> Shown:
    return Shown()


def run(tmp_path: Path, shown: Shown, parallel: int = 4, **programs: str) -> dict[str, Ended]:
    commands = {name: python(text) for name, text in programs.items()}
    ended = fleet.run(commands, parallel=parallel, output=tmp_path, show=shown)
    assert [one.target for one in ended] == list(programs)
    return {one.target: one for one in ended}


def test_lines_are_whole_and_of_their_stream(tmp_path: Path, shown: Shown) -> None:
    text = """
import os, sys
for number in range(200):
    os.write(1, b"out %d be" % number); os.write(1, b"gun, en"); os.write(1, b"ded\\n")
    os.write(2, b"err %d\\r\\n" % number)
os.write(1, b"no end \\xff")
"""
    run(tmp_path, shown, a=text, b=text)
    for target in ("a", "b"):
        out = [f"out {number} begun, ended" for number in range(200)]
        assert shown.of(target) == [*out, "no end \N{REPLACEMENT CHARACTER}"]
        assert shown.of(target, error=True) == [f"err {number}" for number in range(200)]


def test_a_very_long_line_is_one_line(tmp_path: Path, shown: Shown) -> None:
    run(tmp_path, shown, a="print('x' * 3_000_000)")
    assert [len(line) for line in shown.of("a")] == [3_000_000]


@pytest.mark.parametrize("parallel", [1, 2, 3])
def test_no_more_at_once_than_asked(tmp_path: Path, shown: Shown, parallel: int) -> None:
    text = "import time; print('begin', flush=True); time.sleep(0.2); print('end')"
    run(tmp_path, shown, parallel, **dict.fromkeys("abcde", text))
    at_once = most = 0
    for _, line, _ in shown.lines:
        at_once += 1 if line == "begin" else -1
        most = max(most, at_once)
    assert most == parallel


def test_records_are_found_and_read(tmp_path: Path, shown: Shown) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / "run.json").write_text("{}")
    text = RECORDED + f"record({str(tmp_path)!r}, 'r-%s', status='%s', changed=%d); sys.exit(%d)"
    ended = run(
        tmp_path,
        shown,
        a=text % ("a", "ok", 3, 0),
        b=text % ("b", "check-failed", 0, 1),
        c="import sys; print('no such context', file=sys.stderr); sys.exit(2)",
    )
    assert [(one.status, one.exit_status) for one in ended.values()] == [
        ("ok", 0),
        ("check-failed", 1),
        ("refused", 2),
    ]
    assert ended["a"].record == tmp_path / "r-a"
    assert ended["a"].result["changed"] == 3
    assert ended["b"].record == tmp_path / "r-b"
    assert ended["c"].record is None
    assert shown.of("c", error=True) == ["no such context"]


def test_a_killed_process_is_told_from_a_refused_one(tmp_path: Path, shown: Shown) -> None:
    text = RECORDED + f"record({str(tmp_path)!r}, 'a', status='running')\n"
    ended = run(tmp_path, shown, a=text + "import os; os.kill(os.getpid(), 9)", b="1 / 0")
    assert (ended["a"].status, ended["a"].exit_status) == ("killed", 4)
    assert ended["a"].record == tmp_path / "a"
    assert (ended["b"].status, ended["b"].exit_status) == ("refused", 4)


def test_a_program_that_is_not_there(tmp_path: Path, shown: Shown) -> None:
    commands = {"a": [str(tmp_path / "absent")], "b": python("print('went on')")}
    first, second = fleet.run(commands, parallel=1, output=tmp_path, show=shown)
    assert (first.status, first.exit_status) == ("refused", 4)
    assert "No such file" in shown.of("a", error=True)[0]
    assert second.exit_status == 0
    assert shown.of("b") == ["went on"]


def test_what_holds_the_pipe_open_is_not_waited_for(
    tmp_path: Path, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "_LAST_WORDS", 0.1)
    text = "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid)"
    (ended,) = run(tmp_path, shown, a=text).values()
    assert ended.exit_status == 0
    os.kill(int(shown.of("a")[0]), signal.SIGKILL)


WAITS = """
import signal, time
def stop(*_):
    global told; told += 1
    print("told", told, flush=True)
told = 0
signal.signal(signal.SIGTERM, stop)
print("begun", flush=True)
while told < %d:
    time.sleep(0.01)
time.sleep(0.2)
raise SystemExit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_once(tmp_path: Path, shown: Shown, number: signal.Signals) -> None:
    begun = []

    def interrupt(line: str) -> None:
        begun.append(line)
        if begun.count("begun") == 2 and line == "begun":
            os.kill(os.getpid(), number)

    shown.on_line = interrupt
    ended = run(tmp_path, shown, 2, a=WAITS % 1, b=WAITS % 1, c="print('never')")
    assert {name: one.status for name, one in ended.items()} == {
        "a": "interrupted",
        "b": "interrupted",
        "c": "not-run",
    }
    assert severest(one.exit_status for one in ended.values()) == 130
    assert shown.of("a") == shown.of("b") == ["begun", "told 1"]
    assert shown.of("c") == []


def test_a_third_signal_kills_with_all_children(tmp_path: Path, shown: Shown) -> None:
    child = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True)\n"

    def interrupt(line: str) -> None:
        if line == "begun" or line.startswith("told"):
            os.kill(os.getpid(), signal.SIGINT)

    shown.on_line = interrupt
    (ended,) = run(tmp_path, shown, a=child + WAITS % 9).values()
    assert (ended.status, ended.exit_status) == ("interrupted", 130)
    assert shown.of("a")[1:] == ["begun", "told 1", "told 2"]
    pid = int(shown.of("a")[0])
    for _ in range(500):
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or " Z " in stat.read_text():
            return
        time.sleep(0.01)
    pytest.fail("what the process had started is still there")


def test_one_that_dies_of_the_signal_was_interrupted(tmp_path: Path, shown: Shown) -> None:
    shown.on_line = lambda _: os.kill(os.getpid(), signal.SIGTERM)
    (ended,) = run(tmp_path, shown, a="import time; print(1, flush=True); time.sleep(60)").values()
    assert (ended.status, ended.exit_status) == ("interrupted", 130)


# --- the command --------------------------------------------------------------------------------


@click.command()
@click.option("-f", "--file", "files", multiple=True)
@click.option("-p", "--parameter", "pairs", multiple=True)
@click.option("--mode")
@click.option("--minutes", type=float)
@click.option("--html/--no-html", default=True)
@click.option("--quiet", is_flag=True)
@click.pass_context
def command(context: click.Context, **_: object) -> None:
    click.echo("\n".join(again(context, {"files"})))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("-f a -f b", ""),
        ("-p a=1 -f x -p b=-2", "--parameter=a=1 --parameter=b=-2"),
        ("--mode=-x --minutes 5", "--mode=-x --minutes=5.0"),
        ("--no-html --quiet", "--no-html --quiet"),
        ("--html", "--html"),
    ],
)
def test_options_are_written_once_more(
    given: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command.main(given.split(), standalone_mode=False)
    assert capsys.readouterr().out.split() == expected.split()


def test_the_summary_has_a_line_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Replace the program that is run once for each target by one of the test's."""
    monkeypatch.chdir(tmp_path)
    text = (
        RECORDED
        + f"""
name = sys.argv[1].removeprefix("--file=")
if name == "far":
    print("unreachable", file=sys.stderr)
    raise SystemExit(4)
record("outputs", name, status="check-failed", changed=12, checks={PASSED})
print("at work")
raise SystemExit(1)
"""
    )
    monkeypatch.setattr(
        "runbook.cli.fleet.run",
        lambda commands, **rest: fleet.run(
            {name: [*python(text), line[-1]] for name, line in commands.items()}, **rest
        ),
    )
    found = [Target("near", (Path("near"),)), Target("far", (Path("far"),))]
    with click.Context(command):
        status = run_fleet(found, parallel=None, output=tmp_path / "outputs")
    assert status == 4
    captured = capsys.readouterr()
    assert captured.err == "far  | unreachable\n"
    first, *lines = captured.out.splitlines()
    assert first.startswith("2 clusters, ")
    assert lines[0] == "near | at work"
    assert [line.split() for line in lines[2:]] == [
        ["cluster", "status", "checks", "changed", "seconds", "record"],
        [
            "near",
            "check-failed",
            "2",
            "passed",
            "12",
            lines[3].split()[5],
            "outputs/near/index.html",
        ],
        ["far", "refused", lines[4].split()[2], "no", "record"],
    ]


def test_names_are_coloured_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    lines = _Lines(["near", "far"])
    with click.Context(command, color=True):
        lines("near", "at work", error=False)
        lines("far", "at work", error=False)
    near, far = (line.partition(" |")[0] for line in capsys.readouterr().out.splitlines())
    assert near.endswith("near")
    assert far.endswith("far ")
    assert near.startswith("\x1b[")
    assert near.removesuffix("near") != far.removesuffix("far ")


def test_nobody_reading_does_not_stop_the_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(click, "echo", gone)
    _Lines(["near"])("near", "at work", error=False)


def test_the_package_is_a_program(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise SystemExit('what lies about was taken')")
    line = [sys.executable, "-P", "-m", "runbook", "--version"]
    shown = subprocess.check_output(line, cwd=tmp_path, text=True)
    assert shown.strip()
