"""Kubernetes resource quantities."""

from __future__ import annotations

import re

__all__ = ["quantity"]

_SUFFIX = {
    "": 1.0,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
}


def quantity(text: str) -> float | None:
    """Read a quantity in its base unit (cores, bytes), ``None`` if it is not one.

    >>> quantity("500m"), quantity("2Gi"), quantity("soon")
    (0.5, 2147483648.0, None)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(m|[kMGT]|[KMGT]i)?", text)
    if found is None:
        return None
    return float(found[1]) * _SUFFIX[found[2] or ""]
