"""Building outcomes: one place for "why" and "fix" to vanish when all is well."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runbook.checks import Context, Outcome, Verdict
from runbook.proofs import Proof
from runbook.readiness import condition

__all__ = [
    "NOT_FOUND",
    "Object",
    "absent",
    "anchor_link",
    "condition",
    "few",
    "from_proof",
    "judge",
    "planning",
]

Object = dict[str, Any]

NOT_FOUND = "not found"
"""What a check has seen of something that does not exist."""


def judge(
    id_: str,
    title: str,
    verdict: bool | Verdict,
    *,
    expected: str = "",
    seen: str = "",
    why: str = "",
    fix: str = "",
    see: str = "",
    linkerd: str = "",
) -> Outcome:
    """Make an outcome; ``why``, ``fix`` and ``see`` are kept only where something is wrong."""
    given: Verdict = ("pass" if verdict else "fail") if isinstance(verdict, bool) else verdict
    wrong = given in ("warn", "fail")
    return Outcome(
        id=id_,
        title=title,
        verdict=given,
        expected=expected,
        seen=seen,
        why=why if wrong else "",
        fix=fix if wrong else "",
        see=see if wrong else "",
        linkerd=linkerd,
    )


def from_proof(proof: Proof, *, prefix: str = "", subject: str = "", linkerd: str = "") -> Outcome:
    """Turn a proof about a certificate into an outcome.

    Args:
        proof: The proof.
        prefix: Begins the id.
        subject: Begins the title, such as the webhook it is about.
        linkerd: The corresponding line of ``linkerd check``.
    """
    return judge(
        f"{prefix}{proof.id}",
        f"{subject}{proof.title}",
        proof.verdict,
        expected=proof.expected,
        seen=proof.seen,
        why=proof.why,
        fix=proof.fix,
        linkerd=linkerd,
    )


def planning(context: Context) -> bool:
    """Tell whether nothing is being changed, so that earlier notebooks may not have run."""
    return context.params.mode == "plan"


def absent(
    context: Context,
    id_: str,
    title: str,
    what: str,
    notebook: str,
    *,
    comes: bool = True,
    linkerd: str = "",
) -> Outcome:
    """Say that something does not exist: a failure, except in plan mode, where it is to come.

    Args:
        context: What is being checked.
        id_: Id of the outcome.
        title: Title of the outcome.
        what: What does not exist, such as ``Secret linkerd/linkerd-identity-issuer``.
        notebook: The notebook that creates it.
        comes: Whether that notebook, run with these parameters, does create it.
        linkerd: The corresponding line of ``linkerd check``.
    """
    if planning(context) and comes:
        seen = f"not there yet: {notebook} creates {what}"
        return judge(id_, title, "skip", seen=seen, linkerd=linkerd)
    return judge(
        id_,
        title,
        False,
        expected=what,
        seen=NOT_FOUND,
        why=f"{notebook} has not been run, or it was deleted since",
        fix=f"run notebook {notebook}",
        linkerd=linkerd,
    )


def few(names: Iterable[str], most: int = 5) -> str:
    """Join names, the first few of them.

    >>> few(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    every = list(names)
    rest = len(every) - most
    return ", ".join(every[:most]) + (f" and {rest} more" if rest > 0 else "")


def anchor_link(hint: str) -> str:
    """Give the address of Linkerd's own explanation of a check."""
    return f"https://linkerd.io/2/checks/#{hint}"
