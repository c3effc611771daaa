"""`runbook records`: what it prints, how it ends, and that it is quick."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from archive_help import BOOKS, archive, check, make, name, result, step, write
from test_public import HEAVY

from runbook.archive.chain import CHAIN, read
from runbook.archive.index import load
from runbook.archive.manifest import seal
from runbook.cli import _status
from runbook.cli.tables import clip, clock, excerpt, middle, plain, table

HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202e<img src=x>\ud800"

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    archive(tmp_path / "outputs")
    return tmp_path / "outputs"


@pytest.fixture
def records(output: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Give a function that runs a command on the archive: exit status, output, errors."""

    def call(*arguments: str) -> tuple[int, str, str]:
        status = _status(["records", *arguments, "--output", str(output)])
        shown = capsys.readouterr()
        return status, click.unstyle(shown.out), click.unstyle(shown.err)

    return call


def failing(output: Path) -> str:
    """Make a run in which a check failed and a step broke."""
    failed = check("issuer-key", "fail", seen="RSA 1024", why="an old CA", fix="make a new key")
    error = {"name": "StepError", "what": "it broke", "why": "no rights", "fix": "ask", "see": "00"}
    steps = [step(BOOKS[0], "check-failed", checks=[failed]), step(BOOKS[1], "failed", error=error)]
    run = name(30, cluster="other")
    cluster = {"name": "other", "uid": "u", "version": "1.35", "rehearsal": True}
    parts: dict[str, Any] = {"status": "failed", "exit_status": 3, "checks": {"fail": 1}}
    seal(make(output, run, steps=steps, cluster=cluster, **parts))
    return run


def test_list_is_newest_first_and_says_what_failed(output: Path, records: Call) -> None:
    failing(output)
    status, shown, _ = records("list")
    assert status == 0
    lines = shown.splitlines()
    assert lines[0].split() == [
        "RUN",
        "STATUS",
        "MODE",
        "LINE",
        "PASS",
        "WARN",
        "FAIL",
        "CHANGED",
        "TIME",
    ]
    assert lines[1].split() == [
        name(30, "other"),
        *["failed", "apply", "edge-2.20", "1", "2", "1:05"],
    ]
    assert lines[2] == f"  {BOOKS[1]}: it broke"
    assert [line.split()[0] for line in lines[3:]] == [name(n) for n in range(5, -1, -1)]


def test_list_is_narrowed(output: Path, records: Call) -> None:
    run = failing(output)
    for narrow in (["--cluster", "other"], ["--status", "failed"]):
        assert [found["run"] for found in json.loads(records("list", "--json", *narrow)[1])] == [
            run
        ]
    assert records("list", "--since", "2030-01-01")[1] == "no records\n"
    assert records("list", "--since", "soon")[0] == 2


@pytest.mark.parametrize("cluster", ["pi", "gke_a-long-project_europe-west4-a_a-very-long-cluster"])
def test_lines_fit_a_hundred_columns(output: Path, records: Call, cluster: str) -> None:
    long = "word " * 90
    checks = [check("issuer", "fail", seen=long)]
    steps = [step(BOOKS[0], "check-failed", checks=checks), step(BOOKS[1], "not-run")]
    counts = {"pass": 1234, "warn": 100, "fail": 100}
    run = name(31, cluster.replace("_", "-"))
    facts = {"name": cluster, "uid": "", "version": "1.35.0+k3s1", "rehearsal": False}
    odd: dict[str, Any] = {"status": "check-failed", "checks": counts, "changed": 1234}
    odd |= {"line": "stable-2.14", "seconds": 36000.0}
    seal(make(output, run, steps=steps, cluster=facts, **odd))
    for arguments in (
        ["list"],
        ["search", "word"],
        ["compare", name(0), run],
        ["prune", "--keep=0"],
    ):
        _, shown, _ = records(*arguments, *(["--dry-run"] if arguments[0] == "prune" else []))
        assert run[-8:] in shown
        assert max(map(len, shown.splitlines())) <= 100, arguments


def test_show_says_what_needs_attention(output: Path, records: Call) -> None:
    run = failing(output)
    status, shown, _ = records("show", "001e")
    assert status == 0
    for words in (run, "REHEARSAL", BOOKS[0], "check failed", "seen: RSA 1024", "why: an old CA"):
        assert words in shown
    assert f"{BOOKS[1]}: it broke\n  why: no rights\n  fix: ask\n  see: 00\n" in shown
    assert shown.splitlines()[-1].endswith(f"{run}/index.html")
    assert json.loads(records("show", "last", "--json")[1])["run"] == run


def test_show_lists_what_was_measured(output: Path, records: Call) -> None:
    ends = {"low": 1.9, "high": 2.3, "n": 40}
    measure = {"name": "p99 overhead", "value": 2.1, "unit": "ms", **ends}
    long = {"name": "x" * 99, "value": 1.0, "unit": "y" * 99, "low": None, "high": None, "n": None}
    make(output, name(41), steps=[step(BOOKS[0], measures=[measure, long])])
    shown = records("show", name(41))[1]
    assert re.search(r"^12 p99 overhead +2\.1 ms \(1\.9 to 2\.3\) +40$", shown, re.MULTILINE)
    assert max(map(len, shown.splitlines()[:-1])) <= 100  # the last one is a path
    assert "MEASURE" not in records("show", name(0))[1]


def test_show_of_a_run_that_cannot_be_read_is_an_error(output: Path, records: Call) -> None:
    write(output / name(2) / "result.json", b"{")
    assert records("list")[1].count("unreadable") == 1
    status, _, error = records("show", name(2))
    assert (status, "cannot be read" in error) == (2, True)


def test_result_of_another_layout_is_shown_as_unreadable(output: Path, records: Call) -> None:
    write(output / name(2) / "result.json", {"run": name(2)})
    assert "unreadable\nresult.json cannot be read: KeyError\n" in records("show", name(2))[1]
    assert records("compare", name(1), name(2))[0] == 2


def test_search_shows_where_it_was(output: Path, records: Call) -> None:
    run = failing(output)
    status, shown, _ = records("search", "RSA", "old")
    assert status == 0
    assert shown.splitlines()[0].startswith(f"{run}  failed  apply edge-2.20 on other")
    assert f"{BOOKS[0]}: the issuer-key holds  fail issuer-key RSA 1024 an old CA" in shown
    (found,) = json.loads(records("search", "rsa", "--json")[1])
    assert found["places"][0]["notebook"] == BOOKS[0]
    assert records("search", "not there")[1] == "nothing found\n"


def test_verify_prints_the_head(output: Path, records: Call) -> None:
    status, shown, _ = records("verify")
    assert status == 0
    head = read(output).head
    assert shown.splitlines()[-2:] == ["4 sealed records; the head of the chain is", head]
    assert records("verify", "--head", head)[0] == 0
    status, _, error = records("verify", "--head", "0" * 64)
    assert (status, "not what was sealed" in error) == (5, True)


def test_verify_names_what_was_changed_and_ends_with_5(output: Path, records: Call) -> None:
    write(output / name(2) / "index.html", "changed")
    status, shown, error = records("verify")
    assert status == 5
    assert f"fail   {name(2)}/index.html: was changed" in shown
    assert f"note   {name(5)}: never sealed" in shown
    assert "not what was sealed" in error
    status, shown, _ = records("verify", "--json")
    assert status == 5
    found = json.loads(shown)
    assert (found["records"], found["head"]) == (4, read(output).head)
    assert [one["file"] for one in found["findings"] if one["severity"] == "fail"] == ["index.html"]


def test_compare_tells_what_differs(output: Path, records: Call) -> None:
    run = failing(output)
    status, shown, _ = records("compare", name(0), run)
    assert status == 0
    for words in ("Conditions", "cluster name", "Checks", "pass   fail", "RSA 1024"):
        assert words in shown
    assert records("compare", "0000", name(0))[1].splitlines()[-1] == "nothing differs"
    assert json.loads(records("compare", name(0), run, "--json")[1])["after"] == run


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ((5.0, 4.5, 5.5), "differs: the intervals do not overlap"),
        ((1.2, 1.0, 1.4), "may be noise: the intervals overlap"),
        ((1.2, None, None), "cannot be told: an interval is missing"),
    ],
)
def test_compare_words_measures_with_care(
    output: Path, records: Call, after: tuple[float | None, ...], said: str
) -> None:
    for number, values in ((41, (1.1, 0.9, 1.3)), (42, after)):
        measure = dict(zip(("value", "low", "high"), values, strict=True))
        one = {"name": "latency p99", "unit": "ms", "n": 9, **measure}
        make(output, name(number), steps=[step(BOOKS[0], measures=[one])])
    shown = records("compare", name(41), name(42))[1]
    assert f"{BOOKS[0]} latency p99: {said}" in shown
    assert "before 1.1 ms (0.9 to 1.3)" in shown


def test_export_of_one_and_of_all(output: Path, records: Call, tmp_path: Path) -> None:
    place = tmp_path / "copy"
    status, shown, _ = records("export", name(0), str(place))
    assert (status, shown.split()[1]) == (0, "10")
    assert "was there already" in records("export", name(0), str(place))[1]
    status, shown, error = records("export", "--all", str(place))
    assert (status, len(shown.splitlines())) == (2, 4)
    assert f"{name(3)} is not sealed" in error
    assert (place / CHAIN).read_bytes() == (output / CHAIN).read_bytes()
    assert records("export", str(place))[0] == 2
    assert records("export", name(5), str(place))[0] == 2


@pytest.mark.parametrize("answer", ["y\n", "n\n"])
def test_prune_shows_and_asks(
    output: Path, records: Call, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    assert records("prune")[0] == 2
    _, shown, _ = records("prune", "--keep", "4", "--dry-run")
    assert shown.splitlines()[-1] == "2 would be removed"
    assert name(0) in shown
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: answer.strip())
    status, _, _ = records("prune", "--keep", "4")
    assert status == (0 if answer == "y\n" else 130)
    assert len(load(output)) == (4 if answer == "y\n" else 6)


def test_prune_without_asking(output: Path, records: Call) -> None:
    status, shown, _ = records("prune", "--keep", "1", "--yes")
    assert status == 0
    assert shown.splitlines()[-2:] == [f"left {name(3)}: somebody is at it", "4 removed"]
    assert [run.run for run in load(output)] == [name(5), name(3)]
    assert name(4) not in (output / "index.html").read_text()
    assert records("verify")[0] == 0
    assert records("prune", "--keep", "2", "--yes")[1] == "no record to remove\n"


def test_text_of_a_cluster_cannot_steer_the_terminal(output: Path, records: Call) -> None:
    run = name(33)
    checks = [{**check("a", "fail", seen=HOSTILE, why=HOSTILE, fix=HOSTILE), "title": HOSTILE}]
    error = dict.fromkeys(("name", "what", "why", "fix", "see"), HOSTILE)
    steps = [{**step(BOOKS[0], checks=checks, error=error), "title": HOSTILE, "status": HOSTILE}]
    data = result(run, steps=steps, status=HOSTILE, mode=HOSTILE, line=HOSTILE)
    data["cluster"]["name"] = data["parameters"]["x"] = HOSTILE
    make(output, run)
    write(output / run / "result.json", json.dumps(data))
    for arguments in (["list"], ["show", run], ["search", "img"], ["compare", name(0), run]):
        status, shown, _ = records(*arguments)
        assert status == 0
        assert "<img src=x>" in shown
        assert not {"\x1b", "\x07", "\u202e", "\ud800"} & set(shown), arguments


@pytest.mark.parametrize(
    "arguments", [["list"], ["show", "last"], ["search", "x"], ["verify"], ["prune", "--keep=1"]]
)
def test_directory_that_is_not_there_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert _status(["records", *arguments, "--output", str(tmp_path / "absent")]) == 2
    assert "there is no directory" in capsys.readouterr().err


def test_empty_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        (["list"], "no records"),
        (["verify"], "none"),
        (["search", "x"], "no"),
    ):
        assert _status(["records", *arguments, "--output", str(tmp_path)]) == 0
        assert said in capsys.readouterr().out
    assert _status(["records", "show", "last", "--output", str(tmp_path)]) == 2


PROGRAM = """
import sys
from runbook.cli import _status
status = _status(sys.argv[1:])
print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
sys.exit(status)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        *(["list"], ["show", "last"], ["search", "issuer"], ["verify"], ["--help"]),
        *(["compare", "last", "last"], ["prune", "--keep", "0", "--dry-run"]),
        *([command, "--help"] for command in ("list", "search", "export", "prune")),
    ],
)
def test_commands_import_nothing_heavy(output: Path, arguments: list[str]) -> None:
    place = [] if "--help" in arguments else ["--output", str(output)]
    command = [sys.executable, "-c", PROGRAM, "records", *arguments, *place]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stderr.split())
    assert not loaded & (HEAVY | {"fsspec", "pydantic", "yaml", "asyncio"})


def test_archive_itself_imports_the_standard_library_alone() -> None:
    package = importlib.util.find_spec("runbook.archive").submodule_search_locations[0]
    names = sorted(path.stem for path in Path(package).glob("*.py") if path.stem != "__init__")
    program = "import importlib, sys\n" + "".join(
        f"importlib.import_module('runbook.archive.{name}')\n" for name in names
    )
    shown = "print(*{name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names)"
    loaded = subprocess.check_output([sys.executable, "-c", program + shown], text=True)
    assert {one for one in loaded.split() if not one.startswith(("_", "site"))} <= {"runbook"}


def test_parts_of_tables() -> None:
    assert plain("a\n b\tc\x1b[31m") == "a b c\ufffd[31m"
    assert clip("abcdef", 4) == "abc…"
    assert middle("20261124-200000-a-long-name-3f2a", 20) == "20261124-20…ame-3f2a"
    assert (clock(7.4), clock(125), clock(7260)) == ("0:07", "2:05", "2:01:00")
    lines = table(("A", "N"), [("x", "1"), (click.style("long", bold=True), "22")], right="N")
    assert list(map(click.unstyle, lines)) == ["A     N", "x     1", "long 22"]


@pytest.mark.parametrize("width", [20, 40])
@pytest.mark.parametrize("where", [0, 50, 95])
def test_excerpt_is_around_the_word(width: int, where: int) -> None:
    text = f"{'.' * where}Word{'.' * (100 - where)}"
    found = click.unstyle(excerpt(text, ["word"], width))
    assert "Word" in found
    assert len(found) <= width
    assert excerpt("short", ["none"], width) == "short"
