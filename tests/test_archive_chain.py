"""The chain: lines that name each other, and what is wrong with one that was meddled with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from runbook.archive.chain import CHAIN, add, faults, parse, read


@pytest.fixture
def output(tmp_path: Path) -> Path:
    for number in range(6):
        add(tmp_path, "sealed", f"run-{number}", f"digest of {number}")
    return tmp_path


def lines(output: Path) -> list[bytes]:
    return (output / CHAIN).read_bytes().splitlines()


def meddle(output: Path, change: Callable[[list[bytes]], object]) -> list[str]:
    changed = lines(output)
    change(changed)
    (output / CHAIN).write_bytes(b"".join(line + b"\n" for line in changed))
    return [f"{run}: {problem}" for run, problem in faults(read(output))]


def test_lines_name_each_other(output: Path) -> None:
    chain = read(output)
    assert [line.number for line in chain.lines] == [1, 2, 3, 4, 5, 6]
    previous = [line.previous for line in chain.lines]
    assert previous == ["", *(line.digest for line in chain.lines[:-1])]
    assert chain.head == chain.lines[-1].digest
    assert chain.head.encode() in lines(output)[-1]  # so that a head can be looked for
    assert not list(faults(chain))
    assert chain.kept == chain.runs == {f"run-{number}" for number in range(6)}


def test_no_chain_is_an_empty_one(tmp_path: Path) -> None:
    chain = read(tmp_path)
    assert (chain.raw, chain.head, chain.runs, list(faults(chain))) == ((), "", set(), [])


def test_last_event_decides_what_is_kept(output: Path) -> None:
    add(output, "reopened", "run-0")
    add(output, "pruned", "run-1")
    add(output, "pruned", "run-2")
    add(output, "sealed", "run-2", "again")
    assert read(output).kept == {"run-2", "run-3", "run-4", "run-5"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines.pop(2), "run-3: 1 of the lines before it were removed or moved"),
        (lambda lines: lines.pop(0), "run-1: 1 of the lines before it were removed or moved"),
        (lambda lines: lines.insert(1, lines.pop(4)), "run-4: 3 of the lines before it"),
        (lambda lines: lines.insert(4, lines.pop(1)), "run-1: line 5 was moved"),
        (lambda lines: lines.insert(3, lines[2]), "run-2: line 4 repeats line 3"),
        (lambda lines: lines.append(lines[0]), "run-0: line 7 repeats line 1"),
        (lambda lines: lines.insert(2, b""), ": line 3 was changed"),
        (lambda lines: lines.insert(2, b"nonsense"), ": line 3 was changed"),
        (lambda lines: lines.append(b'{"number": 7}'), ": line 7 was changed"),
        (lambda lines: lines.append(lines.pop() + b" "), "run-5: line 6 was changed"),
        (
            lambda lines: lines.append(lines.pop().replace(b"2", b"3", 1)),
            "run-5: line 6 was changed",
        ),
    ],
)
def test_meddling_shows(output: Path, change: Callable[[list[bytes]], object], said: str) -> None:
    found = meddle(output, change)
    assert any(line.startswith(said) for line in found), found


@pytest.mark.parametrize("key", ["number", "event", "run", "manifest", "previous", "time"])
@pytest.mark.parametrize("place", [0, 2, 5])
def test_any_value_that_was_changed_shows(output: Path, key: str, place: int) -> None:
    def change(lines: list[bytes]) -> None:
        line = json.loads(lines[place])
        line[key] = 99 if key == "number" else "pruned" if key == "event" else "other"
        lines[place] = json.dumps(line).encode()

    assert any(f"line {place + 1} was changed" in problem for problem in meddle(output, change))


def test_line_written_anew_with_a_right_digest_shows_in_the_next(output: Path) -> None:
    def forge(raw: list[bytes]) -> None:
        line = parse(raw[2])
        forged = type(line)(3, "sealed", "run-2", "other", line.previous, line.time)
        raw[2] = forged.text

    assert meddle(output, forge) == [
        "run-3: line 4 does not follow the one before it, which was changed"
    ]


@pytest.mark.parametrize("cut", [1, 2, 40])
def test_cut_off_file_shows(output: Path, cut: int) -> None:
    (output / CHAIN).write_bytes((output / CHAIN).read_bytes()[:-cut])
    assert ("run-5", "line 6 has no end: the file was cut off") in faults(read(output))


@pytest.mark.parametrize("broken", [b"half a li", b"nonsense\n", b"\xff\xfe\n\n", b"x\n" * 3000])
def test_broken_chain_is_added_to_and_not_mended(output: Path, broken: bytes) -> None:
    path = output / CHAIN
    path.write_bytes(path.read_bytes() + broken)
    before = len(list(faults(read(output))))
    add(output, "sealed", "run-6", "d")
    assert path.read_bytes().splitlines()[-1].startswith(b'{"number": ')
    assert broken.strip(b"\n") in path.read_bytes()
    chain = read(output)
    assert chain.lines[-1].run == "run-6"
    found = list(faults(chain))
    assert found
    assert len(found) <= before
    assert all(run != "run-6" for run, _ in found)


@pytest.mark.parametrize(
    "run", ["../../etc", "/etc", ".", "..", ".hidden", "a/b", "", "a\nb", "a\x00b"]
)
def test_no_line_leads_out_of_the_archive(output: Path, run: str) -> None:
    line = add(output, "sealed", run, "d")
    assert parse(line.text) is None


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"5", b"null", b"\xff", b"[" * 100_000])
def test_other_lines_are_none(raw: bytes) -> None:
    assert parse(raw) is None
