"""The object a notebook talks to: look, plan, apply, wait, verify, measure, finish.

>>> step = open_step("11-linkerd-namespace", globals())       # doctest: +SKIP
>>> plan = step.plan(manifests.namespace(step.line, step.params))  # doctest: +SKIP
>>> step.apply(plan)                                           # doctest: +SKIP
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from runbook import cells, checks, releases, show
from runbook.applied import Applied, WaitTable, carry_out, settle, take_back, workloads
from runbook.changes import Change
from runbook.checks import Check, Outcome
from runbook.cluster import Cluster, Object, connect
from runbook.errors import PlanError, RunbookError, UsageError
from runbook.helm import Helm, open_helm
from runbook.kubeconfig import credentials
from runbook.notebooks import Notebook
from runbook.params import Params
from runbook.patches import Patch
from runbook.plan import Plan, Release, plan_objects, plan_release
from runbook.releases import Line
from runbook.result import Data, Measure, Result, Timing
from runbook.secrets import Redactor

__all__ = ["Step", "open_step"]


class Step:
    """One notebook at work on one cluster. Also the context of its checks.

    What a method shows it does not return: JupyterLab would show a cell's last value once more.

    Args:
        notebook: Which notebook.
        params: Its parameters, validated.
        line: The release line they name.
        cluster: The cluster they name, guarded.
        display: Shows a value in the notebook.
    """

    def __init__(
        self,
        notebook: Notebook,
        params: Params,
        line: Line,
        cluster: Cluster,
        *,
        display: show.Display = show.display,
    ) -> None:
        self.notebook = notebook.name
        self.params = params
        self.line = line
        self.cluster = cluster
        self.redactor = Redactor()
        self.started = datetime.now(UTC)
        self._about = notebook
        self._show = display
        self._timings: list[Timing] = []
        self._plans: list[Plan] = []
        self._outcomes: list[Outcome] = []
        self._undo: list[str] = []
        self._carried: list[tuple[Plan, list[Change]]] = []
        self._measures: dict[tuple[str, str], Measure] = {}
        self._changed = 0
        self._failed = ""  # class name of the error that ended a part of the step

    @cached_property
    def helm(self) -> Helm:
        """Helm for this cluster, as the parameter ``helm`` says."""
        return open_helm(self.cluster, self.params.helm)

    @property
    def _timeout(self) -> float:
        return float(self.params.timeout)

    @property
    def mode(self) -> str:
        """``plan``, ``apply`` or ``verify``."""
        return self.params.mode

    @property
    def badge(self) -> str:
        """``REHEARSAL`` when the cluster is one, else empty."""
        return show.REHEARSAL if self.cluster.rehearsal else ""

    def look(self, *wanted: Check, title: str = "Preconditions") -> None:
        """Check what must hold before anything is changed; shows the table.

        Raises:
            CheckError: Something failed; the whole table has been shown.
        """
        with self.part(title):
            self._check(wanted, title)

    def plan(self, *wanted: Mapping[str, Any] | Patch | Release | None) -> Plan:
        """Work out what would change, and show it. Changes nothing.

        Args:
            wanted: Manifests and patches, or one Helm release; ``None`` where this line needs none.

        Raises:
            PlanError: Another manager owns a field of a manifest.
            HelmError: The chart is not to be had, or the release is stuck.
        """
        with self.part("Plan"):
            made = self._make([item for item in wanted if item is not None])
            self._plans.append(made)
            self._display(made)
            return made

    def apply(self, plan: Plan, *, one_by_one: bool = False) -> None:
        """Carry out a plan, in the mode ``apply``.

        The plan is made once more first: what was reviewed is what is applied, or nothing is.

        Args:
            plan: What to do.
            one_by_one: Wait after each object until it is ready, and end at the first that is not.

        Raises:
            PlanError: The live state no longer yields the plan that was shown.
            WaitError: One by one, an object did not become ready; those after it were left alone.
        """
        applied = Applied(title="Apply", badge=self.badge)
        with self.part("Apply"):
            if self.mode != "apply":
                applied.note = f"not applied: the mode is {self.mode}"
            elif plan.empty:
                applied.note = "nothing to do: everything is as planned already"
            else:
                self._still_holds(plan)
                self._carry_out(plan, applied, one_by_one=one_by_one)
            self._display(applied)

    def wait(
        self, *awaited: Mapping[str, Any] | Release | Plan, timeout: float | None = None
    ) -> None:
        """Wait until what was applied is ready; a failure ends the wait at once, with its reason.

        Args:
            awaited: Manifests, a release (its workloads are waited for), or a plan.
            timeout: Seconds; by default the parameter ``timeout``.

        Raises:
            WaitError: It failed, or the time is over.
        """
        with self.part("Wait"):
            if self.mode != "apply":
                note = f"not waited for: the mode is {self.mode}"
                self._display(WaitTable((), note, self.badge))
                return
            objects = [obj for item in awaited for obj in self._awaited(item)]
            waited = self.cluster.wait_ready(objects, timeout or self._timeout)
            self._display(WaitTable(waited, "", self.badge))

    def verify(self, *wanted: Check, title: str = "Verification") -> None:
        """Check that the step reached its goal; shows the table. Skipped in the mode ``plan``.

        Raises:
            CheckError: Something failed; the whole table has been shown.
        """
        with self.part(title):
            if self.mode == "plan":
                because = "not checked: the mode is plan"
                skipped = checks.skip(wanted, because=because, title=title, badge=self.badge)
                self._outcomes.extend(skipped.outcomes)
                self._display(skipped)
            else:
                self._check(wanted, title)

    @contextmanager
    def undo_on_failure(self) -> Iterator[None]:
        """Take back what is applied in here, if anything in here fails; then the failure goes on.

        An interruption is no failure: what was applied stays, and the result says how to undo it.
        """
        first = len(self._carried)
        try:
            yield
        except RunbookError:
            self._take_back(self._carried[first:])
            del self._carried[first:]
            raise

    def measure(self, *measures: Measure) -> None:
        """Note numbers that were measured; the result and the record have them.

        A cell may be run again: the same name in the same unit takes the place of the one before.
        """
        self._measures |= {(one.name, one.unit): one for one in measures}

    def display(self, *values: show.Showable) -> None:
        """Show figures, tables and the like, without the secrets the step has come to know."""
        for value in values:
            self._display(value)

    def keep(self, name: str, text: str, media: str = "application/json") -> None:
        """Hand a file to the record, which keeps it as ``data/NN-name``; shows its name and size.

        Args:
            name: Such as ``campaign.json``; the number of the notebook comes before it. The record
                compresses it when it ends with ``.gz``.
            text: Its content.
            media: Its media type.
        """
        self._display(Data(name, text, media))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a part of the step, which its result lists, and remember the error that ended it."""
        started = time.monotonic()
        try:
            yield
        except BaseException as error:
            self._failed = type(error).__name__
            raise
        else:
            self._failed = ""  # run again in JupyterLab, and it went well
        finally:
            self._timings.append(Timing(name, time.monotonic() - started))

    def finish(self) -> None:
        """Show the result: verdicts, what changed, timings, undo, and where to go on."""
        self._display(self.result())

    def result(self) -> Result:
        """Give what the step has come to so far."""
        return Result(
            notebook=self._about,
            params=self.redactor.data(self.params.model_dump(mode="json")),
            cluster={
                "name": self.cluster.name,
                "uid": self.cluster.uid,
                "version": self.cluster.version,
                "rehearsal": self.cluster.rehearsal,
            },
            started=self.started,
            finished=datetime.now(UTC),
            failed=self._failed,
            outcomes=tuple(self._outcomes),
            plans=tuple(self._plans),
            changed=self._changed,
            timings=tuple(self._timings),
            undo=tuple(self._undo),
            measures=tuple(self._measures.values()),
            uid_to_keep=self._uid_to_keep(),
            badge=self.badge,
        )

    def _check(self, wanted: Sequence[Check], title: str) -> None:
        verdicts = checks.run(
            wanted,
            self,
            title=title,
            badge=self.badge,
            redact=self.redactor.text,
        )
        self._outcomes.extend(verdicts.outcomes)
        self._display(verdicts)
        verdicts.require()

    def _make(self, wanted: Sequence[Mapping[str, Any] | Patch | Release]) -> Plan:
        found = [item for item in wanted if isinstance(item, Release)]
        if found and len(wanted) > 1:
            raise UsageError("plan a release by itself", fix="one step.plan(...) for each release")
        if found:
            return plan_release(self.helm, self.cluster, found[0])
        return plan_objects(self.cluster, [i for i in wanted if not isinstance(i, Release)])

    def _still_holds(self, plan: Plan) -> None:
        again = self._make([plan.release] if plan.release else plan.objects)
        if again.digest == plan.digest:
            return
        before = {change.title: change for change in plan.changes}
        moved = [c.title for c in again.changes if c != before.get(c.title)]
        raise PlanError(
            "the cluster is no longer as it was when the plan was made; nothing was applied",
            why=f"what has changed since: {', '.join(moved) or 'the list of objects'}",
            fix="run the plan cell again, read it, then apply",
        )

    def _carry_out(self, plan: Plan, applied: Applied, *, one_by_one: bool) -> None:
        """Carry a plan out; whatever happens, show and record what was done."""

        def ready(changed: Object) -> None:
            self.cluster.wait_ready([changed], self._timeout)

        self._carried.append((plan, applied.done))
        try:
            after = ready if one_by_one else None
            carry_out(plan, self.cluster, self.helm, applied, timeout=self._timeout, after=after)
        except BaseException as error:
            stopped = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            left = len(plan.pending) - applied.changed
            applied.note = f"{stopped} with {left} of {len(plan.pending)} changes not done"
            if plan.release:
                where = f"helm -n {plan.release.namespace} status {plan.release.name}"
                applied.note = f"{stopped}; what Helm has done: {where}"
            self._display(applied)
            raise
        finally:
            self._changed += applied.changed
            undo = [c.undo for c in reversed(applied.done) if c.undo]
            self._undo[:0] = list(plan.undo) if plan.release and applied.done else undo

    def _take_back(self, carried: Sequence[tuple[Plan, list[Change]]]) -> None:
        """Take plans back, the last one first, and wait until what they touched is ready again."""
        undone = Applied(title="Undone", badge=self.badge)
        for plan, done in reversed([entry for entry in carried if entry[1]]):
            gone = take_back(plan, done, self.cluster, self.helm, undone, timeout=self._timeout)
            self._undo = [text for text in self._undo if text not in gone]
        settle(self.cluster, undone, timeout=self._timeout)
        if undone.done or undone.note:
            self._display(undone)

    def _awaited(self, item: Mapping[str, Any] | Patch | Release | Plan) -> list[Object]:
        if isinstance(item, Plan):
            whole = [item.release] if item.release else item.objects
            return [obj for part in whole for obj in self._awaited(part)]
        if isinstance(item, Patch):
            return [item.reference]
        if isinstance(item, Release):
            return workloads(self.cluster, self.helm, item)
        return [dict(item)]

    def _uid_to_keep(self) -> str:
        """Give the cluster's UID if the parameters of a real cluster should name it from now on."""
        wanted = self._changed and not self.cluster.rehearsal and not self.params.cluster_uid
        return self.cluster.uid if wanted else ""

    def _display(self, value: show.Showable) -> None:
        """Show a value without the secrets the step has come to know."""
        forms = value._repr_mimebundle_()
        self._show(_Shown(value, {kind: self.redactor.data(form) for kind, form in forms.items()}))

    def __str__(self) -> str:
        return self._table().text()

    def _table(self) -> show.Table:
        modes = {
            "plan": "plan: shows what would change, changes nothing",
            "apply": "apply: changes what the plan shows",
            "verify": "verify: only reads",
        }
        return show.Table(
            title=f"{self.notebook[:2]} {self._about.title}",
            columns=("", ""),
            rows=[
                ("cluster", f"{self.cluster.name} at {self.cluster.server}"),
                ("", f"Kubernetes {self.cluster.version}, UID {self.cluster.uid or 'unknown'}"),
                ("mode", modes[self.mode]),
                ("line", f"{self.line.name} (Linkerd {self.line.version})"),
            ],
            badge=self.badge,
            note="a cluster on this machine: nothing here reaches your Pis" if self.badge else "",
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        table = self._table()
        data = {
            "type": "step",
            "notebook": self.notebook,
            "title": self._about.title,
            "mode": self.mode,
            "line": self.line.name,
            "cluster": {
                "name": self.cluster.name,
                "uid": self.cluster.uid,
                "version": self.cluster.version,
                "rehearsal": self.cluster.rehearsal,
            },
        }
        return show.bundle(table.html(), table.text(), data)


@dataclass(frozen=True)
class _Shown:
    """A value and its forms as they may be seen."""

    value: show.Showable
    forms: Mapping[str, Any]

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return dict(self.forms)


def open_step(
    notebook: str, variables: Mapping[str, Any], *, display: show.Display = show.display
) -> Step:
    """Open a notebook's step: validate its parameters, connect, guard, show the target.

    Args:
        notebook: Name of the notebook, such as ``12-identity-issuer``.
        variables: The notebook's variables, ``globals()``; its parameters are taken from them.
        display: Shows a value; a plain ``print`` outside a notebook.

    Raises:
        ParameterError: A parameter is unknown, of the wrong type or out of range.
        UsageError: No such kubeconfig, context or notebook.
        GuardError: Another cluster answers than the parameters name.
        LineError: The release line cannot run on this cluster's version.
        UnreachableError: The API server does not answer.
    """
    started = time.monotonic()
    about = cells.declared(notebook)
    params = Params.parse(cells.given(about, variables))
    line = releases.find(params.line)
    cluster = connect(params)
    if params.mode != "verify":
        releases.require(line, cluster.version)
    step = Step(about, params, line, cluster, display=display)
    step.redactor.add(*credentials(params.cluster, params.kubeconfig))
    step._timings.append(Timing("Open", time.monotonic() - started))
    step._display(step)
    return step
