"""Which minor version of Linkerd a release is; processes of containers use it, so it is small."""

from __future__ import annotations

import re

__all__ = ["minor_of"]

_LINES = (
    (26, 1, 20),
    (25, 10, 19),
    (25, 4, 18),
    (24, 11, 17),
    (24, 8, 16),
    (24, 2, 15),
)
"""Year and month of the first edge release of each minor version of Linkerd 2, newest first."""


def minor_of(release: str) -> int:
    """Give the minor version of a release such as ``edge-26.6.3``, the newest if unknown."""
    stable = re.search(r"stable-2\.(\d+)", release)
    if stable:
        return int(stable[1])
    edge = re.search(r"edge-(\d+)\.(\d+)", release)
    if edge is None:
        return _LINES[0][2]
    when = int(edge[1]), int(edge[2])
    return next((minor for *first, minor in _LINES if when >= tuple(first)), 14)
