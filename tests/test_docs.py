"""The README tells the truth: its commands, parameters, notebooks and numbers exist."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from runbook import errors
from runbook.checks import Outcome
from runbook.cli import runbook
from runbook.notebooks import NOTEBOOKS
from runbook.params import Params
from runbook.record import Record, StepRecord
from runbook.releases import LINES
from runbook.result import Measure

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
BOTH = README + COMMANDS
CODE = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", BOTH, flags=re.DOTALL))
BLOCKS = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))


def resolve(words: list[str]) -> tuple[click.Command, list[str]]:
    """Follow words down the command tree; give the command and the words left over."""
    command: click.Command = runbook
    while words and isinstance(command, click.Group) and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    return command, words


def commands_shown() -> list[str]:
    in_blocks = re.findall(r"(?:^|/)(runbook .*?)(?:\s+#.*)?$", BLOCKS, re.MULTILINE)
    return sorted({*in_blocks, *(code for code in CODE if code.startswith("runbook "))})


@pytest.mark.parametrize("shown", commands_shown())
def test_command_exists(shown: str) -> None:
    words = shown.split()[1:]
    command, rest = resolve(words)
    assert not isinstance(command, click.Group), f"{shown!r} is no complete command"
    options = {name for option in command.params for name in option.opts}
    used = {word for word in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", " ".join(rest))}
    assert used <= options, f"{shown!r} uses options that do not exist"


def test_every_command_is_shown() -> None:
    def walk(command: click.Command, path: str) -> list[str]:
        if isinstance(command, click.Group):
            return [p for name, c in command.commands.items() for p in walk(c, f"{path} {name}")]
        return [path]

    for path in walk(runbook, "runbook"):
        assert re.search(rf"{path}\b", COMMANDS), f"docs/commands.md does not show `{path}`"


def test_every_run_option_is_shown() -> None:
    for option in runbook.commands["run"].params:
        assert set(option.opts) & set(re.findall(r"--?[a-z]+", COMMANDS)), option.name


def test_parameters_exist() -> None:
    named = {
        code.partition(":")[0] for code in CODE if re.fullmatch(r"[a-z]+_[a-z_]+(: \S+)?", code)
    }
    assert named
    assert named <= set(Params.model_fields)


def test_notebooks_are_all_in_the_table() -> None:
    steps = (ROOT / "docs" / "steps.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d\d-[a-z-]+) \|", steps, re.MULTILINE)
    assert rows == [book.name for book in NOTEBOOKS]


def test_release_lines_exist() -> None:
    assert {line.name for line in LINES} == set(re.findall(r"`((?:edge|stable)-2\.\d+)`", README))


def test_files_exist() -> None:
    for path in re.findall(r"\b(?:params|notebooks|runbook)/[\w./-]+\.(?:yaml|ipynb|py)", README):
        if path != "params/my-cluster.yaml":
            assert (ROOT / path).exists(), path


def test_exit_statuses_are_those_of_the_errors() -> None:
    for status, name in ((1, "CheckError"), (2, "UsageError"), (3, "StepError")):
        assert getattr(errors, name).status == status
    assert errors.InfrastructureError.status == 4
    assert "1 a check failed, 2 bad parameters or usage, 3 a step failed" in README


def test_first_success_takes_two_commands() -> None:
    first = re.search(r"```sh\n(.*?)```", README, re.DOTALL)
    assert [line.split("#")[0].strip() for line in first[1].splitlines()] == [
        "make rehearse",
        "make test",
    ]


def test_is_two_screens() -> None:
    assert len(README.splitlines()) <= 120


def test_every_field_of_a_result_is_documented(tmp_path: Path) -> None:
    kept = Record(
        tmp_path,
        target={"name": "pi", "uid": "", "version": "", "rehearsal": False},
        parameters={},
        steps=[StepRecord("12-identity-issuer", "Issue")],
        scrub=lambda value: value,
    )
    result = kept.result()
    page = (ROOT / "docs" / "records.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`([a-z_]+)`", page))
    parts = {*Outcome.__dataclass_fields__, *Measure.__dataclass_fields__}
    files = {"notebook", "html", "figures", "data", "file", "media", "text", "alt"}
    missing = {*result, *result["steps"][0], *parts, *files} - documented
    assert not missing


def test_documents_name_only_what_exists() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        text = page.read_text(encoding="utf-8")
        for path in re.findall(r"`((?:runbook|tests|notebooks|params)/[\w./-]+)`", text):
            assert (ROOT / path).exists(), f"{page.name}: {path}"
