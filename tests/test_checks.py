"""Running checks: the whole table first, then the failure."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, cast

import pytest

from runbook import checks
from runbook.checks import Context, Outcome, Unread, Verdicts
from runbook.errors import (
    CheckError,
    ForbiddenError,
    HelmError,
    NotFoundError,
    RunbookError,
    UnreachableError,
)
from runbook.show import MEDIA_TYPE, REHEARSAL

CONTEXT = cast(Context, None)


def good(context: Context) -> Iterable[Outcome]:
    """All is well."""
    yield Outcome("good", "It is good", "pass", expected="1", seen="1", linkerd="is good")


def bad(context: Context) -> Iterable[Outcome]:
    """It is bad."""
    yield Outcome("bad", "It is there", "fail", seen="nothing", why="lost", fix="find it", see="12")


def forbidden(context: Context) -> Iterable[Outcome]:
    """The certificate can be read."""
    raise ForbiddenError("cannot get certificates in namespace linkerd", why="no role", fix="ask")
    yield


def test_outcomes_keep_their_order_and_counts() -> None:
    verdicts = checks.run([good, bad, good], CONTEXT)
    assert [o.id for o in verdicts.outcomes] == ["good", "bad", "good"]
    assert verdicts.summary() == "2 pass, 1 fail"
    assert [o.id for o in verdicts.failed] == ["bad"]


def test_require_names_what_failed_with_why_and_fix() -> None:
    with pytest.raises(CheckError) as caught:
        checks.run([good, bad], CONTEXT).require()
    assert caught.value.what == "1 check failed: It is there: nothing"
    assert (caught.value.why, caught.value.fix, caught.value.see) == ("lost", "find it", "12")
    checks.run([good], CONTEXT).require()


def test_an_error_in_a_check_is_a_failed_outcome() -> None:
    verdicts = checks.run([forbidden, good], CONTEXT)
    broken = verdicts.outcomes[0]
    assert (broken.id, broken.title) == ("forbidden", "The certificate can be read")
    assert broken.verdict == "fail"
    assert broken.seen == "cannot get certificates in namespace linkerd"
    assert (broken.why, broken.fix) == ("no role", "ask")
    assert verdicts.outcomes[1].verdict == "pass"


@pytest.mark.parametrize(
    ("error", "blind"),
    [
        (ForbiddenError("no"), True),
        (UnreachableError("no"), True),
        (ZeroDivisionError(), True),
        (NotFoundError("no"), False),
        (HelmError("no"), False),
    ],
)
def test_not_having_been_able_to_look_is_told_apart(error: Exception, blind: bool) -> None:
    assert checks.is_blind(error) is blind
    if not isinstance(error, RunbookError):
        return

    def check(context: Context) -> Iterable[Outcome]:
        raise error
        yield

    (outcome,) = checks.run([check], CONTEXT, redact=str.upper).outcomes
    assert isinstance(outcome, Unread) is blind
    assert (outcome.seen, outcome.verdict) == ("NO", "fail")


def test_a_bug_in_a_check_is_not_hidden() -> None:
    def buggy(context: Context) -> Iterable[Outcome]:
        raise ZeroDivisionError
        yield

    with pytest.raises(ZeroDivisionError):
        checks.run([buggy], CONTEXT)


def test_skipped_checks_have_a_row_each() -> None:
    skipped = checks.skip([good, partial(bad)], because="the mode is plan", badge=REHEARSAL)
    assert [(o.title, o.verdict) for o in skipped.outcomes] == [
        ("All is well", "skip"),
        ("It is bad", "skip"),
    ]
    skipped.require()


def test_words_pass_the_redactor() -> None:
    verdicts = checks.run([bad], CONTEXT, redact=lambda text: text.replace("lost", "***"))
    assert verdicts.outcomes[0].why == "***"


def test_forms_of_the_table() -> None:
    verdicts = checks.run([good, bad], CONTEXT, title="Preconditions", badge=REHEARSAL)
    forms: dict[str, Any] = verdicts._repr_mimebundle_()
    assert "✘ fail" in forms["text/html"]
    assert "fix: find it" in forms["text/plain"]
    assert "linkerd check: is good" in forms["text/plain"]
    data = forms[MEDIA_TYPE]
    assert (data["type"], data["rehearsal"]) == ("verdicts", True)
    assert data["outcomes"][1]["fix"] == "find it"


def test_nothing_to_check() -> None:
    assert Verdicts([]).summary() == "nothing to check"
    Verdicts([]).require()
