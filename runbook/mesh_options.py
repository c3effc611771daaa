"""Linkerd's ``config.linkerd.io/*`` annotations: names, values, and the lines that know them.

From ``pkg/k8s/labels.go`` and ``pkg/inject/inject.go`` of linkerd2 at stable-2.11.5,
stable-2.14.10, version-2.19 and version-2.20.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["OPTIONS", "PREFIX", "Option", "as_annotations", "problem"]

PREFIX = "config.linkerd.io/"

_PORTS = re.compile(r"\d{1,5}(-\d{1,5})?(,\s*\d{1,5}(-\d{1,5})?)*")
_QUANTITY = re.compile(r"\d+(\.\d+)?(m|[kMGTPE]i?)?")
_DURATION = re.compile(r"(\d+(\.\d+)?(h|ms|m|s|us|µs|ns))+")
_NETWORK = re.compile(r"[0-9a-fA-F.:]+/\d{1,3}(,\s*[0-9a-fA-F.:]+/\d{1,3})*")


@dataclass(frozen=True)
class Option:
    """One annotation.

    Attributes:
        form: What its value must be, in words.
        fits: Whether a value has that form.
        since: First of this runbook's lines whose injector reads it, such as ``2.11``.
        inherited: Whether pods take it from their namespace.
    """

    form: str
    fits: Callable[[str], bool]
    since: str = "2.11"
    inherited: bool = True


def _form(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda value: pattern.fullmatch(value) is not None


def _one_of(*values: str) -> tuple[str, Callable[[str], bool]]:
    return " or ".join(values), lambda value: value in values


def _ports(value: str) -> bool:
    parts = re.findall(r"\d+", value)
    return _form(_PORTS)(value) and all(1 <= int(part) <= 65535 for part in parts)


def _environment(value: str) -> bool:
    try:
        found = json.loads(value)
    except ValueError:
        return False
    return isinstance(found, list) and all(isinstance(e, dict) and "name" in e for e in found)


_LIST = ('ports such as "25,4000-4100"', _ports)
_SIZE = ('a quantity such as "100m" or "64Mi"', _form(_QUANTITY))
_TIME = ('a duration such as "10s"', _form(_DURATION))
_NUMBER = ("a whole number", str.isdecimal)
_SWITCH = _one_of("enabled", "disabled")
_BOOLEAN = _one_of("true", "false")
_POLICY = _one_of(
    "all-unauthenticated",
    "all-authenticated",
    "cluster-unauthenticated",
    "cluster-authenticated",
    "deny",
    "audit",
)
_TEXT: tuple[str, Callable[[str], bool]] = ("a text", bool)

OPTIONS: Mapping[str, Option] = {
    "skip-inbound-ports": Option(*_LIST),
    "skip-outbound-ports": Option(*_LIST),
    "skip-subnets": Option('networks such as "10.0.0.0/8"', _form(_NETWORK)),
    "opaque-ports": Option(*_LIST),
    "pod-inbound-ports": Option(*_LIST),
    "proxy-require-identity-inbound-ports": Option(*_LIST),
    "proxy-cpu-request": Option(*_SIZE),
    "proxy-cpu-limit": Option(*_SIZE),
    "proxy-cpu-ratio-limit": Option('a fraction such as "0.5"', _form(_QUANTITY), "2.19", False),
    "proxy-memory-request": Option(*_SIZE),
    "proxy-memory-limit": Option(*_SIZE),
    "proxy-ephemeral-storage-request": Option(*_SIZE, "2.14"),
    "proxy-ephemeral-storage-limit": Option(*_SIZE, "2.14"),
    "proxy-await": Option(*_SWITCH),
    "proxy-admin-shutdown": Option(*_SWITCH, "2.19"),
    "proxy-enable-native-sidecar": Option(*_BOOLEAN, "2.20"),
    "proxy-image": Option(*_TEXT),
    "proxy-version": Option(*_TEXT),
    "image-pull-policy": Option(*_one_of("Always", "IfNotPresent", "Never")),
    "proxy-uid": Option(*_NUMBER),
    "proxy-gid": Option(*_NUMBER, "2.19"),
    "proxy-log-level": Option(*_TEXT),
    "proxy-log-format": Option(*_one_of("plain", "json")),
    "proxy-log-http-headers": Option(*_one_of("insecure"), "2.19"),
    "access-log": Option(*_one_of("apache", "json"), "2.14"),
    "default-inbound-policy": Option(*_POLICY),
    "enable-debug-sidecar": Option(*_BOOLEAN),
    "enable-external-profiles": Option(*_BOOLEAN),
    "proxy-outbound-connect-timeout": Option(*_TIME),
    "proxy-inbound-connect-timeout": Option(*_TIME),
    "proxy-outbound-discovery-cache-unused-timeout": Option(*_TIME, "2.14"),
    "proxy-inbound-discovery-cache-unused-timeout": Option(*_TIME, "2.14"),
    "proxy-disable-outbound-protocol-detect-timeout": Option(*_BOOLEAN, "2.14"),
    "proxy-disable-inbound-protocol-detect-timeout": Option(*_BOOLEAN, "2.14"),
    "shutdown-grace-period": Option(*_TIME, "2.14"),
    "close-wait-timeout": Option(*_TIME, inherited=False),
    "proxy-metrics-hostname-labels": Option(*_BOOLEAN, "2.19"),
    "proxy-additional-env": Option("a JSON list of EnvVar", _environment, "2.20"),
    "control-port": Option(*_NUMBER),
    "admin-port": Option(*_NUMBER),
    "inbound-port": Option(*_NUMBER),
    "outbound-port": Option(*_NUMBER),
}
"""The options by their name without the prefix."""


def problem(name: str, value: str) -> str:
    """Say what is wrong with an option, empty if nothing is.

    >>> problem("skip-outbound-port", "443")
    "there is no option 'skip-outbound-port': did you mean skip-outbound-ports?"
    >>> problem("opaque-ports", "mysql")
    'opaque-ports must be ports such as "25,4000-4100"'
    """
    option = OPTIONS.get(name.removeprefix(PREFIX))
    if option is None:
        near = difflib.get_close_matches(name.removeprefix(PREFIX), OPTIONS, n=1)
        hint = f": did you mean {near[0]}?" if near else ""
        return f"there is no option {name!r}{hint}"
    return "" if option.fits(value) else f"{name} must be {option.form}"


def as_annotations(options: Mapping[str, str]) -> dict[str, str]:
    """Give the annotations of options; an empty value is left out."""
    return {PREFIX + name.removeprefix(PREFIX): value for name, value in options.items() if value}
