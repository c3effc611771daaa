"""Longhorn: what its managers make themselves, and what keeps them from it."""

from __future__ import annotations

from runbook.rehearsal.controllers.longhorn.manager import Longhorn

__all__ = ["Longhorn"]
