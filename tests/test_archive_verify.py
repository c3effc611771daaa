"""Tampering is found and named; what is no tampering raises no alarm."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from archive_help import archive, make, name, resumed
from jupyter_server.services.contents.filemanager import FileContentsManager

from runbook.archive import chain
from runbook.archive.chain import CHAIN
from runbook.archive.files import write_atomic
from runbook.archive.manifest import MANIFEST, reopen, seal
from runbook.archive.verify import Finding, verify
from runbook.errors import UsageError

Named = tuple[str, str]
"""What a finding must name: the run, or empty where a line of the chain cannot say; the file."""

SEALED = (0, 2, 4)  # plain sealed runs; 1 was resumed and sealed, 3 resumed only, 5 killed


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("archive") / "outputs"
    output.mkdir()
    archive(output)
    return output


@pytest.fixture
def output(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))  # where saving leaves traces
    return Path(shutil.copytree(original, tmp_path / "outputs", symlinks=True))


def alarms(found: list[Finding]) -> list[Finding]:
    return [one for one in found if one.severity == "fail"]


def covered(output: Path, draw: random.Random) -> tuple[str, Path]:
    """Choose a file of a sealed record."""
    run = name(draw.choice(SEALED))
    files = sorted(
        path
        for path in (output / run).rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.parts)
    )
    return run, draw.choice(files)


def flip(output: Path, draw: random.Random) -> Named:
    run, path = covered(output, draw)
    data = bytearray(path.read_bytes())
    place = draw.randrange(len(data))
    data[place] ^= 1 << draw.randrange(8)
    path.write_bytes(bytes(data))
    return run, str(path.relative_to(output / run))


def truncate(output: Path, draw: random.Random) -> Named:
    run, path = covered(output, draw)
    data = path.read_bytes()
    path.write_bytes(data[: draw.randrange(len(data))])
    return run, str(path.relative_to(output / run))


def drop(output: Path, draw: random.Random) -> Named:
    run, path = covered(output, draw)
    path.unlink()
    return run, str(path.relative_to(output / run))


def add(output: Path, draw: random.Random) -> Named:
    run, path = covered(output, draw)
    new = path.with_name(f"{path.stem}-{draw.randrange(99)}{path.suffix}")
    shutil.copyfile(path, new)
    return run, str(new.relative_to(output / run))


def link(output: Path, draw: random.Random) -> Named:
    run, path = covered(output, draw)
    aside = output.parent / "aside"
    shutil.move(path, aside)
    path.symlink_to(aside)
    return run, str(path.relative_to(output / run))


def swap(output: Path, draw: random.Random) -> Named:
    run = name(draw.choice(SEALED))
    one, other = (output / run / book for book in ("12-identity-issuer.html", "index.html"))
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    return run, draw.choice((one, other)).name


def exchange(output: Path, draw: random.Random) -> Named:
    """Give a record the files of another, MANIFEST and all."""
    first, second = draw.sample(SEALED, 2)
    shutil.rmtree(output / name(first))
    shutil.copytree(output / name(second), output / name(first))
    return name(first), MANIFEST


def edit(output: Path, draw: random.Random) -> Named:
    """Change a value in a JSON file, leaving it well-formed."""
    run = name(draw.choice(SEALED))
    path = output / run / draw.choice(("result.json", "12-identity-issuer.ipynb"))
    text = path.read_text()
    wrong = text.replace("pass", "fail", 1) if "pass" in text else text.replace("ok", "no", 1)
    assert wrong != text
    path.write_text(wrong)
    return run, path.name


def remove_record(output: Path, draw: random.Random) -> Named:
    run = name(draw.choice(range(5)))
    shutil.rmtree(output / run)
    return run, ""


def rename_record(output: Path, draw: random.Random) -> Named:
    run = name(draw.choice(SEALED))
    (output / run).rename(output / name(40))
    return run, ""


def lines(output: Path) -> list[bytes]:
    return (output / CHAIN).read_bytes().splitlines(keepends=True)


def drop_line(output: Path, draw: random.Random) -> Named:
    kept = lines(output)
    gone = kept.pop(draw.randrange(len(kept)))
    (output / CHAIN).write_bytes(b"".join(kept))
    last = gone > max(kept, key=lambda line: json.loads(line)["number"])
    run = json.loads(gone)["run"]
    return (run if last else ""), ""


def reorder(output: Path, draw: random.Random) -> Named:
    kept = lines(output)
    first, second = draw.sample(range(len(kept)), 2)
    kept[first], kept[second] = kept[second], kept[first]
    (output / CHAIN).write_bytes(b"".join(kept))
    return "", CHAIN


def repeat(output: Path, draw: random.Random) -> Named:
    kept = lines(output)
    again = draw.choice(kept)
    kept.insert(draw.randrange(len(kept) + 1), again)
    (output / CHAIN).write_bytes(b"".join(kept))
    return json.loads(again)["run"], CHAIN


def flip_line(output: Path, draw: random.Random) -> Named:
    data = bytearray((output / CHAIN).read_bytes())
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    (output / CHAIN).write_bytes(bytes(data))
    return "", CHAIN


def cut_chain(output: Path, draw: random.Random) -> Named:
    data = (output / CHAIN).read_bytes()
    (output / CHAIN).write_bytes(data[: draw.randrange(len(data))])
    return "", ""


def drop_chain(output: Path, draw: random.Random) -> Named:
    (output / CHAIN).unlink()
    return name(draw.choice(SEALED)), MANIFEST


MUTATIONS: tuple[Callable[[Path, random.Random], Named], ...] = (
    *(flip, flip, flip, flip, truncate, drop, add, link, swap, exchange, edit, edit),
    *(remove_record, rename_record, drop_line, reorder, repeat, flip_line, cut_chain, drop_chain),
)


@pytest.mark.parametrize("seed", range(16))
@pytest.mark.parametrize("number", range(len(MUTATIONS)), ids=[m.__name__ for m in MUTATIONS])
def test_every_mutation_is_found_and_named(output: Path, number: int, seed: int) -> None:
    """320 mutations, drawn anew by each seed."""
    before = verify(output)
    run, file = MUTATIONS[number](output, random.Random(1000 * number + seed))
    found = [one for one in verify(output) if one not in before]
    assert alarms(found), f"{MUTATIONS[number].__name__} of {run}/{file} was not found"
    assert any(run in ("", one.run) and file in ("", one.file) for one in alarms(found)), found


def test_an_untouched_archive_raises_no_alarm(output: Path) -> None:
    found = verify(output)
    assert alarms(found) == []
    assert [(one.run, one.problem.partition(",")[0]) for one in found] == [
        (name(3), "resumed"),
        (name(5), "never sealed: running or killed; nothing of it is proven"),
    ]


def test_an_archive_that_is_not_there_yet_raises_no_alarm(tmp_path: Path) -> None:
    assert verify(tmp_path) == []


def by_nbformat(path: Path) -> None:
    nbformat.write(nbformat.read(path, as_version=4), path)


def by_jupyter_server(path: Path) -> None:
    manager = FileContentsManager(root_dir=str(path.parent))
    model = manager.get(path.name, type="notebook")
    manager.save(model, path.name)


def indented(path: Path) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content, indent=4, sort_keys=True, ensure_ascii=True))


@pytest.mark.parametrize("save", [by_nbformat, by_jupyter_server, indented])
def test_a_notebook_saved_again_is_no_alarm(output: Path, save: Callable[[Path], None]) -> None:
    files = [output / name(n) / "12-identity-issuer.ipynb" for n in SEALED]
    before = [path.read_bytes() for path in files]
    for path in files:
        save(path)
    assert [path.read_bytes() for path in files] != before
    found = verify(output)
    assert alarms(found) == []
    noted = [(one.run, one.file) for one in found if "saved again" in one.problem]
    assert noted == [(name(n), "12-identity-issuer.ipynb") for n in SEALED]


def test_a_head_noted_elsewhere_proves_what_was_there(output: Path) -> None:
    head = chain.read(output).head
    seal(make(output, name(50)))
    assert alarms(verify(output, head)) == []
    assert alarms(verify(output, head[:12])) == []
    kept = lines(output)
    (output / CHAIN).write_bytes(b"".join(kept[:-3]))
    for number in (3, 5, 50):
        shutil.rmtree(output / name(number), ignore_errors=True)
    (found,) = [one for one in alarms(verify(output, head)) if "head" in one.problem]
    assert found.file == CHAIN


def test_a_head_that_is_none_is_refused(output: Path) -> None:
    with pytest.raises(UsageError, match="no head"):
        verify(output, "nonsense")


def test_an_earlier_attempt_stays_proven_while_the_run_goes_on(output: Path) -> None:
    directory = output / name(0)
    resumed(directory)
    assert alarms(verify(output)) == []
    page = directory / "12-identity-issuer.html"
    write_atomic(page, page.read_text().replace("html", "htmx"))
    (found,) = alarms(verify(output))
    assert (found.run, found.file) == (name(0), "12-identity-issuer.html")


def test_opening_again_twice_is_opening_once(output: Path) -> None:
    reopen(output / name(0))
    kept = lines(output)
    reopen(output / name(0))
    assert lines(output) == kept
