"""Kubernetes quantities such as ``100m`` and ``64Mi``."""

from __future__ import annotations

from decimal import Decimal

__all__ = ["amount"]

_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}


def amount(quantity: str | float) -> Decimal:
    """Read a quantity.

    >>> amount("100m"), amount("64Mi"), amount(2)
    (Decimal('0.100'), Decimal('67108864'), Decimal('2'))
    """
    text = str(quantity)
    digits = text.rstrip("numkKMGTPEi")
    return Decimal(digits) * _SUFFIXES[text[len(digits) :]]
