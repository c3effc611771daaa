"""YAML with the scalars of YAML 1.2, strict about keys, and the place of every top-level key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

__all__ = ["Origin", "YamlError", "parse_mapping", "problem_of"]


@dataclass(frozen=True)
class Origin:
    """Where a value came from, and its text as written when it was a plain scalar."""

    place: str = ""
    raw: str = ""


class YamlError(ValueError):
    """The text is not what was asked for; ``place`` is ``file:line``."""

    def __init__(self, message: str, place: str) -> None:
        super().__init__(message)
        self.place = place


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the implicit types of YAML 1.2 and unique text keys."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(
                    problem=f'the key {key_node.value!r} is not text: write "{key_node.value}"'
                    if isinstance(key_node, yaml.ScalarNode)
                    else "a key is not text",
                    problem_mark=key_node.start_mark,
                )
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key!r} is given twice (first in line {seen[key]})",
                    problem_mark=key_node.start_mark,
                )
            seen[key] = line
        return super().construct_mapping(node, deep=deep)


_FLOAT = r"^[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$"
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


def parse_mapping(text: str, source: str) -> dict[str, tuple[Any, Origin]]:
    """Read a YAML mapping.

    Args:
        text: The YAML text; empty text is an empty mapping.
        source: What to call it in messages, usually the file's path.

    Returns:
        Each top-level key with its value and where it stands.

    Raises:
        YamlError: It is not YAML, not one mapping, or a key is not unique text.
    """
    try:
        node, values = _load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}:{mark.line + 1}" if mark else source
        raise YamlError(problem_of(error), place) from None
    except (yaml.YAMLError, RecursionError, ValueError, AttributeError) as error:
        said = str(error).splitlines()[0].partition(": '")[0]  # what follows quotes the text
        raise YamlError(f"not YAML: {said}", source) from None
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        kind = "a list" if isinstance(node, yaml.SequenceNode) else "a single value"
        raise YamlError(f"expected a mapping, found {kind}", f"{source}:{_line(node)}")
    return {
        key.value: (values[key.value], Origin(f"{source}:{_line(key)}", _raw(item)))
        for key, item in node.value
    }


def problem_of(error: yaml.MarkedYAMLError) -> str:
    """Say what is wrong with a text, without quoting what may be a password: ``*x`` or ``!x``.

    >>> problem_of(yaml.MarkedYAMLError(problem="found undefined alias 'hunter2'"))
    'found undefined alias'
    """
    return re.sub(r"\b(alias|anchor|tag|handle)\b.*", r"\1", error.problem or "not YAML")


def _load(text: str) -> tuple[yaml.Node | None, Any]:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        return node, None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _raw(node: yaml.Node) -> str:
    """Give the text of a scalar written without quotes."""
    return str(node.value) if isinstance(node, yaml.ScalarNode) and not node.style else ""
