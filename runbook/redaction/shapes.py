"""Credentials that are known by their own form, whatever stands beside them.

Sources: RFC 7519 (JWT), RFC 6750 and 7617 (Bearer, Basic), RFC 3986 §3.2.1 (userinfo), K3s's
``k3s token``, crypt(5), and what each service says of its own tokens' prefixes.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable

from runbook.redaction.scan import ANSI, MARK, QUOTE

__all__ = ["hide", "is_docker_auth"]

_SLASH = r"(?:\\{0,8}/|%2[fF])"
_GAP = rf"(?:[ \t]|%20|\+|&nbsp;|\\{{1,8}}t|{ANSI})"
_IN_URL = r"""(?:[^\s"'<>\\\uffff]|\\{1,8}/)"""
_COLON_SLASHES = rf"(?::{_SLASH}{{2}}|%3[aA]%2[fF]%2[fF])"
_USER = r"""[^\s/?#'"<>@\\:\[\uffff]"""
_WORD = re.compile(r"[A-Za-z]?[a-z]+[.,;:!?]?")

_PREFIXED = (
    r"(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}"
    r"|gl(?:pat|dt|rt|rtr|cbt|ptt|ft|imt|agent|oas|soat|ffct)-[\w.-]{16,}"
    r"|xox[a-z](?:\.xox[a-z])?-[\w-]{10,}|xapp-\d-[\w-]{10,}"
    r"|glsa_\w{16,}|glc_[A-Za-z0-9+/]{20,}={0,2}"
    r"|hv[sbr]\.[\w-]{20,}|dckr_[po]at_[\w-]{16,}|npm_[A-Za-z0-9]{30,}|pypi-AgE[\w-]{20,}"
    r"|do[opr]_v1_[0-9a-f]{32,}|AIza[\w-]{30,}|GOCSPX-[\w-]{20,}|ya29\.[\w-]{20,}"
    r"|[sr]k_(?:live|test|prod)_\w{10,}|hf_[A-Za-z0-9]{30,}|tskey-[\w-]{16,}|sntry[su]_[\w+/=]{20,}"
    r"|SG\.[\w-]{16,}\.[\w-]{16,}|\d{8,12}:AA[\w-]{30,}"
    r"|(?i:AGE-(?:SECRET-KEY|PLUGIN)-[A-Z0-9-]{20,}))"
)
_HOSTS = (
    rf"hooks\.slack[\w.-]*+|discord(?:app)?\.com{_SLASH}api{_SLASH}webhooks"
    rf"|webhook\.office\.com|outlook\.office(?:365)?\.com{_SLASH}webhook\w*+"
    rf"|chat\.googleapis\.com{_SLASH}v1{_SLASH}spaces|api\.telegram\.org|logic\.azure\.com"
)

_Replacement = str | Callable[[re.Match[str]], str]


def is_docker_auth(value: str) -> bool:
    """Tell whether a value is a registry's ``auth``: base64 of ``user:password``."""
    try:
        text = base64.b64decode(value + "=" * (-len(value) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return False
    return ":" in text and text.isprintable()


def _unless_word(found: re.Match[str]) -> str:
    """Leave ``Bearer authentication`` and the like as it is."""
    return found[0] if _WORD.fullmatch(found["secret"]) else found["name"] + MARK


def _if_auth(found: re.Match[str]) -> str:
    return found["name"] + MARK if is_docker_auth(found["secret"]) else found[0]


def _rule(
    triggers: str, pattern: str, replacement: _Replacement = MARK
) -> tuple[tuple[str, ...], re.Pattern[str], _Replacement]:
    return tuple(triggers.split()), re.compile(pattern), replacement


_RULES = (
    _rule("eyj", r"eyJ[\w-]{8,4000}\.eyJ[\w-]{8,}(?:\.[\w-]*)*"),
    _rule("eyj", r"(?<![A-Za-z0-9])eyJ[\w-]{16,4000}\.[\w-]{0,2000}\.[\w-]{8,}(?:\.[\w-]*)*"),
    _rule("ewo eya", r"(?<![A-Za-z0-9])e(?:wo|yA)[\w-]{8,}\.e[wy][\w-]{8,}(?:\.[\w-]*)*"),
    _rule(
        "authorization",
        rf"(?ai)(?P<name>authorization.{{0,40}}?\b(?:basic|bearer|token|negotiate|digest|ntlm)"
        rf"{_GAP}+)[^\s\"'<>\\&,\uffff]+",
        rf"\g<name>{MARK}",
    ),
    _rule(
        "bearer",
        rf"(?ai)(?P<name>\bbearer{_GAP}+)(?P<secret>[A-Za-z0-9._~+/][A-Za-z0-9._~+/-]{{7,}}=*)",
        _unless_word,
    ),
    _rule(
        "auth",
        rf"(?P<name>\bauth{QUOTE}?\s*[:=]\s*{QUOTE}?)(?P<secret>[A-Za-z0-9+/]{{6,}}={{0,2}})",
        _if_auth,
    ),
    _rule(
        ":// :\\ %3a%2f",
        rf"(?P<name>{_COLON_SLASHES}){_USER}{{0,200}}(?::|%3[aA])[^\s/?#'\"<>\\\uffff]{{1,500}}(?=@|%40)",
        rf"\g<name>{MARK}",
    ),
    _rule(  # a password with a bare slash in it is no valid URL, and used all the same
        ":// :\\ %3a%2f",
        rf"(?P<name>{_COLON_SLASHES}){_USER}{{0,200}}:(?!\d{{1,5}}[/?#]){_IN_URL}{{1,500}}(?=@|%40)",
        rf"\g<name>{MARK}",
    ),
    _rule(
        ":// :\\ %3a%2f",
        rf"(?P<name>{_COLON_SLASHES}){_USER}{{16,500}}(?=@|%40)",
        rf"\g<name>{MARK}",
    ),
    _rule("@tcp( @unix(", r"[\w.-]{1,64}:[^\s\"'<>\\\uffff]{1,200}(?=@(?:tcp|unix)\()"),
    _rule("k10", r"K10[0-9a-fA-F]{32,}::?[^\s\"'<>\\&,\uffff]*"),
    _rule("::server: ::node:", r"::(?:server|node):[^\s\"'<>\\&,\uffff]{6,}", rf"::{MARK}"),
    _rule(
        "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- gldt- glrt glcbt- glptt- glft- glimt- "
        "glagent- gloas- glsoat- glffct- xox xapp- glsa_ glc_ hvs. hvb. hvr. dckr_ npm_ pypi-age "
        "dop_v1 doo_v1 dor_v1 aiza gocspx ya29. sk_live sk_test sk_prod rk_live rk_test "
        "rk_prod hf_ tskey- sntry sg. :aa age-secret age-plugin",
        rf"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-F][0-9A-F])){_PREFIXED}",
    ),
    _rule(
        "akia asia abia acca",
        r"(?:(?<![A-Za-z0-9+/])|(?<=%[0-9A-F][0-9A-F]))(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}"
        r"(?![A-Za-z0-9+/])",
    ),
    _rule(
        "$ %24",
        r"(?:\$|%24)(?:apr1|1|5|6|y|7|gy|2[abxy]|argon2(?:id|i|d)|scrypt|pbkdf2[\w-]{0,12})"
        r"(?:\$|%24)[./A-Za-z0-9$=,+%-]{16,}",
    ),
    _rule("sha}", r"(?i)\{S?SHA(?:256|512)?\}[A-Za-z0-9+/]{20,}={0,2}"),
    _rule(
        "hooks.slack discord office.com office365.com chat.google telegram logic.azure",
        rf"(?P<name>(?:{_HOSTS}){_SLASH}?+){_IN_URL}+",
        rf"\g<name>{MARK}",
    ),
    _rule(
        "hook",
        rf"(?P<name>(?<=/)(?:web)?hooks?{_SLASH}(?:[\w-]{{1,30}}{_SLASH}){{0,3}})"
        rf"(?=[A-Za-z_-]{{0,60}}\d)[\w-]{{16,}}",
        rf"\g<name>{MARK}",
    ),
)


def hide(text: str) -> str:
    """Replace every credential of a known form."""
    lower = text.lower()
    for triggers, pattern, replacement in _RULES:
        for trigger in triggers:
            if trigger in lower:
                text = pattern.sub(replacement, text)
                break
    return text
