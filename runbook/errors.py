"""Everything that can go wrong, in one tree.

::

    RunbookError                     3
    ├── UsageError                   2   wrong command or arguments
    │   ├── ParameterError           2   a parameter is unknown, mistyped or out of range
    │   ├── GuardError               2   this is not the cluster the parameters name
    │   └── LineError                2   the release line does not fit the cluster
    ├── CheckError                   1   a declared check did not pass
    ├── StepError                    3   a step could not be carried out
    │   ├── PlanError                3   what would be applied is not what was planned
    │   ├── WaitError                3   a wait ended without the awaited state
    │   ├── HelmError                3   Helm refused or failed
    │   ├── CertificateError         3   a certificate is missing or does not prove what it should
    │   └── ApiError                 3   the API server refused a request
    │       ├── NotFoundError, ConflictError, ForbiddenError, InvalidError
    ├── InfrastructureError          4   no kernel, no API server, no rehearsal cluster
    │   ├── UnreachableError         4   the API server does not answer
    │   └── RehearsalError           4   the rehearsal cluster cannot do this
    └── ArchiveError                 5   a record is not what was sealed

The number is the exit status of ``runbook``. Every error carries what happened, why, what to do
and where to read on; the last three may be empty.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "ApiError",
    "ArchiveError",
    "CertificateError",
    "CheckError",
    "ConflictError",
    "ForbiddenError",
    "GuardError",
    "HelmError",
    "InfrastructureError",
    "InvalidError",
    "LineError",
    "NotFoundError",
    "ParameterError",
    "PlanError",
    "RehearsalError",
    "RunbookError",
    "StepError",
    "UnreachableError",
    "UsageError",
    "WaitError",
    "exit_status",
]


class RunbookError(Exception):
    """Base of every error the runbook raises on purpose.

    Args:
        what: What happened, one sentence, naming the object.
        why: The likely reason.
        fix: What the reader can do about it.
        see: Where to read on: a notebook, a section or an address.
    """

    status: ClassVar[int] = 3

    def __init__(self, what: str, *, why: str = "", fix: str = "", see: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix
        self.see = see

    @property
    def brief(self) -> str:
        """What happened and why, on one line."""
        return f"{self.what}: {self.why}" if self.why else self.what

    def __str__(self) -> str:
        lines = [self.what]
        lines += [
            f"  {label}: {text}"
            for label, text in (("why", self.why), ("fix", self.fix), ("see", self.see))
            if text
        ]
        return "\n".join(lines)

    def _render_traceback_(self) -> list[str]:
        """Show the message alone in a notebook: the traceback is ours, not the reader's."""
        return [f"{type(self).__name__}: {self}"]


class UsageError(RunbookError):
    """The command or its arguments are wrong; nothing was touched."""

    status = 2


class ParameterError(UsageError):
    """A parameter is unknown, of the wrong type or out of range."""


class GuardError(UsageError):
    """The cluster that answers is not the one the parameters name."""


class LineError(UsageError):
    """The chosen release line cannot run on this cluster, or does not exist."""


class CheckError(RunbookError):
    """A declared check did not pass."""

    status = 1


class StepError(RunbookError):
    """A step could not be carried out."""


class PlanError(StepError):
    """The live state no longer yields the plan that was reviewed."""


class WaitError(StepError):
    """A wait ended by failure or by timeout."""


class HelmError(StepError):
    """Helm refused or failed."""


class CertificateError(StepError):
    """A certificate is missing or does not prove what it should."""


class ApiError(StepError):
    """The API server refused a request.

    Args:
        code: HTTP status code.
        reason: ``reason`` of the Kubernetes ``Status`` object, such as ``NotFound``.
        body: The ``Status`` object itself.
    """

    def __init__(
        self,
        what: str,
        *,
        code: int = 0,
        reason: str = "",
        body: dict[str, Any] | None = None,
        why: str = "",
        fix: str = "",
        see: str = "",
    ) -> None:
        super().__init__(what, why=why, fix=fix, see=see)
        self.code = code
        self.reason = reason
        self.body = body or {}


class NotFoundError(ApiError):
    """The object or its kind does not exist."""


class ConflictError(ApiError):
    """The object exists already, has changed meanwhile, or another manager owns a field."""


class ForbiddenError(ApiError):
    """The user may not do this; the message names verb and resource."""


class InvalidError(ApiError):
    """The API server found the object invalid."""


class InfrastructureError(RunbookError):
    """No kernel, no API server or no rehearsal cluster to work with."""

    status = 4


class UnreachableError(InfrastructureError):
    """The API server does not answer."""


class RehearsalError(InfrastructureError):
    """The rehearsal cluster is not running or cannot do this."""


class ArchiveError(RunbookError):
    """A record, or the chain of records, is not what was sealed."""

    status = 5


def exit_status(name: str) -> int:
    """Give the exit status for an error class name, as found in an executed notebook.

    Args:
        name: Class name such as ``CheckError``; foreign names count as a failed step.

    >>> exit_status("CheckError"), exit_status("ParameterError"), exit_status("ValueError")
    (1, 2, 3)
    """
    found = globals().get(name)
    if isinstance(found, type) and issubclass(found, RunbookError):
        return found.status
    return 3
