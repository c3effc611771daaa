"""Checks: what must hold, and the table that says whether it does.

A check is a function of a context that yields outcomes. It never changes anything, and it never
stops at its first finding: the whole table is shown, then the step fails. An error inside a check
becomes a failed outcome with the error's own reason and remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from runbook import show
from runbook.errors import CheckError, ForbiddenError, InfrastructureError, RunbookError

if TYPE_CHECKING:
    from runbook.cluster import Cluster
    from runbook.helm import Helm
    from runbook.params import Params
    from runbook.releases import Line
    from runbook.secrets import Redactor

__all__ = [
    "Check",
    "Context",
    "Outcome",
    "Unread",
    "Verdict",
    "Verdicts",
    "is_blind",
    "run",
    "skip",
]

Verdict = Literal["pass", "warn", "fail", "skip"]


@dataclass(frozen=True)
class Outcome:
    """What one check found.

    Attributes:
        id: Stable name, such as ``issuer-key-type``.
        title: What must hold, as a statement.
        verdict: ``pass``, ``warn``, ``fail`` or ``skip``.
        expected: What should have been seen.
        seen: What was seen.
        why: The likely reason of a failure or warning.
        fix: What the reader can do about it.
        see: Where to read on.
        linkerd: The line of ``linkerd check`` that looks at the same thing.
    """

    id: str
    title: str
    verdict: Verdict
    expected: str = ""
    seen: str = ""
    why: str = ""
    fix: str = ""
    see: str = ""
    linkerd: str = ""


class Unread(Outcome):
    """What a check says that could not look: it failed, but nothing is known to be wrong."""


class Context(Protocol):
    """What a check may look at. :class:`runbook.step.Step` is one."""

    @property
    def cluster(self) -> Cluster:
        """The cluster under the runbook."""

    @property
    def params(self) -> Params:
        """The validated parameters."""

    @property
    def line(self) -> Line:
        """The chosen Linkerd release line."""

    @property
    def helm(self) -> Helm:
        """Helm for this cluster."""

    @property
    def redactor(self) -> Redactor:
        """Hides secrets; tell it of any that are read."""


Check = Callable[[Context], Iterable[Outcome]]


@dataclass(frozen=True)
class Verdicts:
    """Outcomes as a table.

    Attributes:
        outcomes: In the order the checks gave them.
        title: Heading of the table.
        badge: ``REHEARSAL`` when the cluster is one.
    """

    outcomes: Sequence[Outcome]
    title: str = "Checks"
    badge: str = ""

    @property
    def failed(self) -> list[Outcome]:
        """The outcomes that failed."""
        return [o for o in self.outcomes if o.verdict == "fail"]

    def require(self) -> None:
        """Raise when something failed.

        Raises:
            CheckError: Naming each failed check; the table should have been shown before.
        """
        failed = self.failed
        if not failed:
            return
        titles = "; ".join(f"{o.title}: {o.seen}" if o.seen else o.title for o in failed)
        count = "1 check failed" if len(failed) == 1 else f"{len(failed)} checks failed"
        raise CheckError(
            f"{count}: {titles}",
            why=_each(failed, "why"),
            fix=_each(failed, "fix"),
            see=_each(failed, "see"),
        )

    def summary(self) -> str:
        """Give the counts in words.

        >>> Verdicts([Outcome("a", "A", "pass"), Outcome("b", "B", "fail")]).summary()
        '1 pass, 1 fail'
        """
        kinds: tuple[Verdict, ...] = ("pass", "warn", "fail", "skip")
        counts = {kind: sum(o.verdict == kind for o in self.outcomes) for kind in kinds}
        return ", ".join(f"{n} {kind}" for kind, n in counts.items() if n) or "nothing to check"

    def data(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {
            "type": "verdicts",
            "title": self.title,
            "rehearsal": self.badge == show.REHEARSAL,
            "outcomes": [asdict(o) for o in self.outcomes],
        }

    def table(self) -> show.Table:
        """Give the table itself."""
        return show.Table(
            title=f"{self.title}: {self.summary()}",
            columns=("", "check", "expected", "seen", "what to do"),
            rows=[_row(o) for o in self.outcomes],
            badge=self.badge,
        )

    def __str__(self) -> str:
        return self.table().text()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        table = self.table()
        return show.bundle(table.html(), table.text(), self.data())


def run(
    checks: Iterable[Check],
    context: Context,
    *,
    title: str = "Checks",
    badge: str = "",
    redact: Callable[[str], str] = str,
) -> Verdicts:
    """Run checks one after another and gather what they found.

    Args:
        checks: The checks.
        context: What they look at.
        title: Heading of the table.
        badge: Badge of the table.
        redact: Takes secrets out of a text; every word of an outcome passes through it.
    """
    outcomes: list[Outcome] = []
    for check in checks:
        try:
            outcomes.extend(check(context))
        except RunbookError as error:
            outcomes.append(_broken(check, error))
    return Verdicts([_redacted(o, redact) for o in outcomes], title=title, badge=badge)


def skip(
    checks: Iterable[Check], *, because: str, title: str = "Checks", badge: str = ""
) -> Verdicts:
    """Give a table of checks that were not run, one row each."""
    rows = [Outcome(_id(check), _title(check), "skip", seen=because) for check in checks]
    return Verdicts(rows, title=title, badge=badge)


def is_blind(error: Exception) -> bool:
    """Tell whether an error says that one could not look, rather than that something is wrong."""
    ours = isinstance(error, RunbookError)
    return not ours or isinstance(error, InfrastructureError | ForbiddenError)


def _broken(check: Check, error: RunbookError) -> Outcome:
    return (Unread if is_blind(error) else Outcome)(
        id=_id(check),
        title=_title(check),
        verdict="fail",
        seen=error.what,
        why=error.why,
        fix=error.fix,
        see=error.see,
    )


def _id(check: Check) -> str:
    inner = getattr(check, "func", check)  # functools.partial names its function there
    name = getattr(inner, "__name__", type(inner).__name__)
    return str(name).strip("_").replace("_", "-")


def _title(check: Check) -> str:
    """Give the first line of the check's docstring, else its name."""
    inner = getattr(check, "func", check)
    lines = (getattr(inner, "__doc__", "") or "").strip().splitlines()
    return lines[0].rstrip(".") if lines else _id(check).replace("-", " ")


def _redacted(outcome: Outcome, redact: Callable[[str], str]) -> Outcome:
    texts: Mapping[str, Any] = {
        name: redact(getattr(outcome, name))
        for name in ("title", "expected", "seen", "why", "fix", "see")
    }
    return replace(outcome, **texts)


def _row(outcome: Outcome) -> list[show.Cell | str]:
    note = f"linkerd check: {outcome.linkerd}" if outcome.linkerd else ""
    todo = show.joined(
        (
            outcome.why,
            f"fix: {outcome.fix}" if outcome.fix else "",
            f"see: {outcome.see}" if outcome.see else "",
        )
        if outcome.verdict != "pass"
        else ()
    )
    return [
        show.verdict(outcome.verdict),
        show.joined((outcome.title, note)),
        outcome.expected,
        outcome.seen,
        todo,
    ]


def _each(outcomes: Sequence[Outcome], field: str) -> str:
    """Join one field of the outcomes, each text once."""
    texts = dict.fromkeys(getattr(o, field) for o in outcomes)
    return "; ".join(text for text in texts if text)
