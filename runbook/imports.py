"""Importing heavy packages without the parts that nothing here uses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quick_jsonschema"]

_GRAMMAR = "rfc3987_syntax"


@contextmanager
def quick_jsonschema() -> Iterator[None]:
    """Have jsonschema, when it is imported within, leave its optional IRI grammar aside.

    Building that grammar takes most of a second, in every process that imports ``kubernetes`` or
    ``nbformat``; it serves only to check strings of the format ``iri``, which occur in neither.
    Anything imported afterwards finds the grammar as usual.
    """
    if _GRAMMAR in sys.modules:
        yield
        return
    modules: dict[str, object] = sys.modules  # type: ignore[assignment] # None means: not there
    modules[_GRAMMAR] = None
    try:
        yield
    finally:
        modules.pop(_GRAMMAR, None)
