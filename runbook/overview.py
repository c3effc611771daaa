"""The state of every step on one cluster, for the notebook JupyterLab opens on.

Nothing is remembered: the state is proved anew, by running the code cells of each notebook in
this process in the mode verify, which only reads. What a notebook would show is not shown; what
its checks found becomes one line.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from runbook import cells, releases, show
from runbook.archive import index
from runbook.checks import Outcome, Unread, is_blind
from runbook.cluster import Cluster, connect
from runbook.errors import CheckError, RunbookError, UnreachableError
from runbook.linkerd.outcomes import NOT_FOUND
from runbook.notebooks import INDEX, NOTEBOOKS, Notebook, outputs, source
from runbook.params import Params
from runbook.progress import progress
from runbook.secrets import Redactor
from runbook.step import Step

__all__ = ["Finding", "Overview", "State", "judge", "look", "run", "show_steps"]

Word = Literal["done", "not yet", "needs attention", "cannot tell", "when asked"]

_TONES = {
    "done": "pass",
    "not yet": "skip",
    "needs attention": "fail",
    "cannot tell": "warn",
    "when asked": "skip",
}
_ORDER = {book.name: number for number, book in enumerate(NOTEBOOKS)}
_NAMED = re.compile(rf"\b(?:{'|'.join(_ORDER)})\b")
_LONGEST = 160  # characters of a reason: it is one line


@dataclass(frozen=True)
class Finding:
    """What running a notebook in the mode verify has come to.

    Attributes:
        outcomes: Of its checks.
        problems: Those that failed, or the error that ended it in the same form.
        pending: How many changes its plans still held.
        reached: Whether its own verification passed, whatever came before it.
        away: Whether the API server did not answer.
    """

    outcomes: Sequence[Outcome] = ()
    problems: Sequence[Outcome] = ()
    pending: int = 0
    reached: bool = False
    away: bool = False


@dataclass(frozen=True)
class State:
    """The state of one step, and why in one line."""

    word: Word
    why: str


@dataclass(frozen=True)
class Overview:
    """Every step with its state.

    Attributes:
        cluster: The cluster that was looked at.
        line: Name of the release line it was looked at for.
        states: By name of notebook.
        last: When a notebook was last run on this cluster, and what came of it.
    """

    cluster: Cluster
    line: str
    states: Mapping[str, State]
    last: Mapping[str, str]

    def table(self) -> show.Table:
        """Give the table; its first column leads to the notebooks."""
        words: list[str] = [state.word for state in self.states.values()]
        counts = {word: words.count(word) for word in _TONES if word != "when asked"}
        told = ", ".join(f"{n} {word}" for word, n in counts.items() if n)
        return show.Table(
            title=f"Steps on {self.cluster.name}: {told}",
            columns=("step", "changes", "state", "why", "last run"),
            rows=[self._row(book) for book in NOTEBOOKS],
            badge=show.REHEARSAL if self.cluster.rehearsal else "",
            note=f"Kubernetes {self.cluster.version}, UID {self.cluster.uid or 'unknown'}, "
            f"line {self.line}\n"
            "state: looked at just now; last run: the newest record in outputs/ for this UID",
        )

    def _row(self, book: Notebook) -> list[show.Cell | str]:
        state = self.states[book.name]
        return [
            show.Cell(f"{book.name[:2]} {book.title}", link=f"{book.name}.ipynb"),
            book.changes or "nothing",
            show.Cell(state.word, tone=_TONES[state.word]),
            state.why,
            self.last.get(book.name, "never"),
        ]

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        table = self.table()
        data = {
            "type": "overview",
            "cluster": {
                "name": self.cluster.name,
                "uid": self.cluster.uid,
                "version": self.cluster.version,
                "rehearsal": self.cluster.rehearsal,
            },
            "line": self.line,
            "steps": [
                {
                    "notebook": book.name,
                    "state": self.states[book.name].word,
                    "why": self.states[book.name].why,
                    "last": self.last.get(book.name, ""),
                }
                for book in NOTEBOOKS
            ],
        }
        return show.bundle(table.html(), table.text(), data)


def show_steps(
    variables: Mapping[str, Any],
    *,
    output: Path | None = None,
    display: show.Display = show.display,
) -> None:
    """Look at every step on the cluster that the parameters name, and show one table. Only reads.

    Args:
        variables: The notebook's variables, ``globals()``.
        output: Directory of the records; by default that of the clone.
        display: Shows a value; a plain ``print`` outside a notebook.

    Raises:
        ParameterError: A parameter is unknown, of the wrong type or out of range.
        UsageError: No such kubeconfig or context.
        GuardError: Another cluster answers than the parameters name.
        InfrastructureError: No API server answers, or no rehearsal cluster is running.
    """
    given = cells.given(INDEX, variables)
    params = Params.parse({**given, "mode": "verify"})
    cluster = connect(params)
    states = look({**given, "cluster_uid": cluster.uid})  # each step is guarded, too
    last = _last_runs(output or outputs(), cluster.uid)
    display(Overview(cluster, releases.find(params.line).name, states, last))
    cluster.close()


def look(given: Mapping[str, Any]) -> dict[str, State]:
    """Prove the state of every step, in their order; those that run when asked for have none.

    Args:
        given: Parameters for all notebooks; the mode is verify whatever they say.
    """
    states: dict[str, State] = {}
    found = Finding()
    with progress("steps", len(NOTEBOOKS)) as told:
        for number, book in enumerate(NOTEBOOKS):
            told.tell(number, book.name)
            if book.asked:
                states[book.name] = State("when asked", "no part of the installation")
                continue
            if not found.away:  # each further try would only wait for the same
                found = run(book, given, "verify")
            states[book.name] = judge(book, found, states)
    return states


def run(book: Notebook, given: Mapping[str, Any], mode: str) -> Finding:
    """Run the code cells of a notebook in this process; shows nothing.

    After an error only its verification is run: whether the goal is reached all the same.

    Args:
        book: Which one; its file in the clone is run, never a copy.
        given: Parameters.
        mode: The mode to run it in.
    """
    variables: dict[str, Any] = {"In": []}  # as IPython keeps the source of the cells
    found: Finding | None = None
    verified: list[bool] = []
    with show.silence():
        for section, code in _code(book, {**given, "mode": mode}):
            if found and section != "verify":
                continue
            error = _execute(book, code, variables)
            verified += [error is None] if section == "verify" else []
            if error and not found:
                found = _finding(variables, error)
    found = found or _finding(variables, None)
    if isinstance(step := variables.get("step"), Step):
        step.cluster.close()
    return replace(found, reached=bool(verified) and all(verified))


def judge(book: Notebook, found: Finding, states: Mapping[str, State]) -> State:
    """Give the state of a step by what verifying it has come to.

    Args:
        book: The step.
        found: What was found.
        states: Of the steps before it.
    """
    if not found.problems:
        return _passed(found)
    known = [problem for problem in found.problems if not isinstance(problem, Unread)]
    if not known:
        return State("cannot tell", _said(found.problems[0]))
    undone = {name for name, state in states.items() if state.word != "done"}
    blamed = [set(_NAMED.findall(problem.fix)) for problem in known]
    if all(names and names <= undone for names in blamed):
        needed = sorted(set().union(*blamed), key=_ORDER.__getitem__)
        word: Word = "needs attention" if found.reached else "not yet"
        return State(word, f"needs {', '.join(name[:2] for name in needed)}")
    own: list[Outcome] = []
    for problem, names in zip(known, blamed, strict=True):
        if not names or not names <= undone | {book.name} or problem.seen != NOT_FOUND:
            return State("needs attention", _said(problem))
        own += [problem] if book.name in names else []
    how = own[0].fix.removeprefix(f"run notebook {book.name}")  # what is more than that
    return State("not yet", _short(f"not there: {own[0].expected}{'; run it' if how else ''}{how}"))


def _passed(found: Finding) -> State:
    if found.pending:
        changes = f"{found.pending} change{'s' if found.pending > 1 else ''}"
        return State(
            "needs attention", f"its checks pass, but its plan holds {changes}: run it in mode plan"
        )
    counts = {name: sum(o.verdict == name for o in found.outcomes) for name in ("pass", "warn")}
    told = f"{counts['pass']} check{'' if counts['pass'] == 1 else 's'} passed"
    warned = next((o for o in found.outcomes if o.verdict == "warn"), None)
    if warned is not None:
        told += f", {counts['warn']} warned: {warned.title}: {warned.seen}"
    return State("done", _short(told))


def _execute(book: Notebook, code: str, variables: dict[str, Any]) -> Exception | None:
    """Run a cell; give the error it ended with."""
    variables["In"].append(code)
    try:
        exec(compile(code, book.name, "exec"), variables)  # noqa: S102 - the clone's own
    except Exception as error:
        return error
    return None


def _finding(variables: Mapping[str, Any], error: Exception | None) -> Finding:
    """Give what a notebook has come to so far."""
    away = isinstance(error, UnreachableError)
    step = variables.get("step")
    if not isinstance(step, Step):  # it could not even be opened
        return Finding(problems=_problems(error, (), Redactor()), away=away)
    result = step.result()
    return Finding(
        outcomes=result.outcomes,
        problems=_problems(error, result.outcomes, step.redactor),
        pending=sum(len(plan.pending) for plan in result.plans),
        away=away,
    )


def _problems(
    error: Exception | None, outcomes: Sequence[Outcome], redactor: Redactor
) -> list[Outcome]:
    """Give what failed: checks, or else the error that ended the notebook in their form."""
    if error is None:
        return []
    failed = [outcome for outcome in outcomes if outcome.verdict == "fail"]
    if failed and isinstance(error, CheckError):
        return failed
    what, fix = f"{type(error).__name__}: {error}", ""  # a fault of ours, not of the cluster
    if isinstance(error, RunbookError):
        what, fix = error.what, error.fix
    kind = Unread if is_blind(error) else Outcome
    return [kind("error", redactor.text(what), "fail", fix=redactor.text(fix))]


def _said(problem: Outcome) -> str:
    return _short(f"{problem.title}: {problem.seen}" if problem.seen else problem.title)


def _short(text: str) -> str:
    return textwrap.shorten(text, _LONGEST, placeholder=" ...")


def _code(book: Notebook, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give the code cells of a notebook, each with its section; the parameters filled in."""
    for cell in json.loads(source(book).read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        section = cell["id"].split("-")[1]  # an id is prefix-section, or prefix-section-which
        if section == "parameters":
            yield section, cells.filled(text, given)
        elif cell["cell_type"] == "code":
            yield section, text


def _last_runs(output: Path, uid: str) -> dict[str, str]:
    """Give when each notebook was last run on a cluster in batch, and what came of it."""
    found: dict[str, str] = {}
    if not uid or not output.is_dir():
        return found
    for made in index.load(output):
        for step in made.steps if made.uid == uid else ():
            if step["status"] != "not-run":
                status = made.status if step["status"] == "running" else step["status"]
                when = made.started[:16].replace("T", " ")
                found.setdefault(step["notebook"], f"{made.mode} {status}, {when} UTC")
    return found
