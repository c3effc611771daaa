"""Relabelling as Prometheus does it.

Regular expressions are those of Go, taken for Python's: what only one of the two knows is refused.
Standard library only: this is read by a container's process.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["anchored", "expand", "relabel", "valid_name"]

Rule = Mapping[str, Any]

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_REFERENCE = re.compile(r"\$(?:\{(\w+)\}|(\w+)|(\$))")
_PYTHON_ONLY = re.compile(r"\(\?(?:[=!(#>]|<[=!]|P=)|(?<!\\)(?:\\\\)*\\[1-9]|(?<!\\)[*+?}]\+")
"""Lookarounds, conditions, comments, references back, possessive and atomic groups."""


@functools.lru_cache(maxsize=1024)
def anchored(pattern: str) -> re.Pattern[str]:
    """Compile a regular expression that has to match as a whole.

    Raises:
        ValueError: It is none.
    """
    if _PYTHON_ONLY.search(pattern):
        raise ValueError(f"error parsing regexp: invalid or unsupported Perl syntax: `{pattern}`")
    try:
        return re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise ValueError(f"error parsing regexp: {error.msg}: `^(?s:{pattern})$`") from None


def valid_name(name: str) -> bool:
    """Tell whether a label may be called so."""
    return _NAME.fullmatch(name) is not None


def expand(template: str, found: re.Match[str]) -> str:
    """Put what groups matched in the place of ``$1``, ``${1}`` and ``${name}``.

    As in Go the longest name counts: ``$1x`` is the group called ``1x``, which is nobody's.
    """

    def group(reference: re.Match[str]) -> str:
        if reference[3]:
            return "$"
        name = reference[1] or reference[2]
        known = name.isdigit() and int(name) <= found.re.groups
        if known:
            return found[int(name)] or ""
        return (found[name] or "") if name in found.re.groupindex else ""

    return _REFERENCE.sub(group, template)


def relabel(labels: Mapping[str, str], rules: Iterable[Rule]) -> dict[str, str] | None:
    """Apply rules in order.

    Args:
        labels: What there is.
        rules: As a configuration has them.

    Returns:
        The labels after it; None when a rule drops them.
    """
    result = dict(labels)
    for rule in rules:
        changed = _apply(result, rule)
        if changed is None:
            return None
        result = changed
    return {name: value for name, value in result.items() if value}


def _apply(labels: dict[str, str], rule: Rule) -> dict[str, str] | None:
    action = str(rule.get("action") or "replace").lower()
    regex = anchored(str(rule.get("regex", "(.*)")))
    sources = rule.get("source_labels") or ()
    value = str(rule.get("separator", ";")).join(labels.get(name, "") for name in sources)
    match action:
        case "keep" | "drop":
            return labels if (regex.fullmatch(value) is not None) == (action == "keep") else None
        case "keepequal" | "dropequal":
            same = value == labels.get(rule["target_label"], "")
            return labels if same == (action == "keepequal") else None
    return _changed(labels, rule, action, regex, value)


def _changed(
    labels: dict[str, str], rule: Rule, action: str, regex: re.Pattern[str], value: str
) -> dict[str, str]:
    match action:
        case "labeldrop" | "labelkeep":
            kept = action == "labelkeep"
            return {k: v for k, v in labels.items() if (regex.fullmatch(k) is not None) == kept}
        case "labelmap":
            return labels | _mapped(labels, regex, str(rule.get("replacement", "$1")))
        case "lowercase" | "uppercase":
            changed = value.lower() if action == "lowercase" else value.upper()
            return {**labels, rule["target_label"]: changed}
        case "replace":
            return _replaced(labels, rule, regex, value)
    raise ValueError(f"rehearsal: relabel action {action} is not simulated")


def _mapped(labels: Mapping[str, str], regex: re.Pattern[str], template: str) -> dict[str, str]:
    found = ((regex.fullmatch(name), value) for name, value in labels.items())
    return {expand(template, match): value for match, value in found if match is not None}


def _replaced(
    labels: dict[str, str], rule: Rule, regex: re.Pattern[str], value: str
) -> dict[str, str]:
    match = regex.fullmatch(value)
    if match is None:
        return labels
    name = expand(rule["target_label"], match)
    content = expand(str(rule.get("replacement", "$1")), match)
    if not valid_name(name) or not content:
        gone = name if valid_name(name) else rule["target_label"]
        return {k: v for k, v in labels.items() if k != gone}
    return {**labels, name: content}
