"""The notebooks: finding them, choosing some, and where they are."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from runbook.errors import InfrastructureError, UsageError
from runbook.notebook_table import INDEX, NOTEBOOKS, Notebook

__all__ = ["INDEX", "NOTEBOOKS", "Notebook", "find", "home", "outputs", "select", "source"]

_RANGE = re.compile(r"\d\d-\d\d")


def home() -> Path:
    """Give the clone this package runs from: it holds ``notebooks/`` and ``outputs/``.

    Raises:
        InfrastructureError: The package was installed without its notebooks.
    """
    root = Path(__file__).resolve().parent.parent
    if not (root / "notebooks").is_dir():
        raise InfrastructureError(
            "there are no notebooks beside the package",
            why=f"{root} is not a clone of linkerd-runbook",
            fix="clone the repository and run `make rehearse` or `pip install -e .` in it.",
        )
    return root


def outputs() -> Path:
    """Give the directory of all runs, unless another one is named."""
    return home() / "outputs"


def source(notebook: Notebook) -> Path:
    """Give the file of a notebook."""
    return home() / "notebooks" / f"{notebook.name}.ipynb"


def select(
    first: str = "", last: str = "", only: Sequence[str] = (), also: Sequence[str] = ()
) -> tuple[Notebook, ...]:
    """Choose the notebooks of a run, in their order.

    Args:
        first: Number or name of the first to run; empty for the first there is.
        last: Number or name of the last to run; empty for the last there is.
        only: Numbers, ranges of numbers (``60-64``) or names to run, and no others.
        also: The same, of those that run only when they are asked for.

    Raises:
        UsageError: There is no such notebook, or none is left to run.

    >>> [book.name[:2] for book in select(first="12", last="13-trust-anchor")]
    ['12', '13']
    >>> [book.name[:2] for book in select(first="25", also=["60-62"])]
    ['25', '60', '61', '62']
    """
    begin = NOTEBOOKS.index(find(first)) if first else 0
    end = NOTEBOOKS.index(find(last)) if last else len(NOTEBOOKS) - 1
    added = _named(also)
    wanted = _named(only) or [book for book in NOTEBOOKS if not book.asked]
    within = NOTEBOOKS[begin : end + 1]
    chosen = tuple(
        book for book in NOTEBOOKS if book in added or (book in wanted and book in within)
    )
    if not chosen:
        asked = [book.name[:2] for book in within if book.asked]
        hint = f"some run only when asked for: --only {asked[0]}-{asked[-1]}. " if asked else ""
        raise UsageError(
            "no notebook is left to run",
            why=f"--from {first or '(first)'}, --until {last or '(last)'} and --only exclude all",
            fix=hint + "`runbook list` shows them in order.",
        )
    return chosen


def _named(names: Sequence[str]) -> list[Notebook]:
    """Find notebooks by numbers, ranges of numbers or names.

    Raises:
        UsageError: There is none of a name, or none in a range.
    """
    found = []
    for name in names:
        if _RANGE.fullmatch(name):
            low, high = name.split("-")
            within = [book for book in NOTEBOOKS if low <= book.name[:2] <= high]
            if not within:  # or nothing named would mean all of them
                raise UsageError(f"there is no notebook in {name}", fix="`runbook list` shows all.")
            found += within
        else:
            found.append(find(name))
    return found


def find(name: str) -> Notebook:
    """Find a notebook by its number, name or file name.

    Raises:
        UsageError: There is no such notebook; the nearest name is suggested.
    """
    stem = Path(name).name.removesuffix(".ipynb")
    for book in NOTEBOOKS:
        if stem in (book.name, book.name.partition("-")[0]):
            return book
    near = difflib.get_close_matches(stem, [book.name for book in NOTEBOOKS], n=1, cutoff=0.4)
    raise UsageError(
        f"there is no notebook {name!r}",
        fix="".join(f"did you mean {name}? " for name in near) + "`runbook list` shows all.",
    )
