r"""Which Host headers the Viz dashboard accepts (``dashboard.enforcedHostRegexp``).

The dashboard has no login, so a page anywhere on the web could reach it through its visitor's
browser by making a name of its own resolve to the dashboard's address (DNS rebinding). It
therefore compares the Host header with a regular expression. It does so unanchored, with Go's
``MatchString`` (linkerd2 ``web/srv/server.go``): what is not between ``^`` and ``$`` matches
inside longer names.

Erratum of the seed: it sets ``".*"``, which lets every host in, under the misspelt key
``dahsboard``, which nobody reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from runbook.checks import Context, Outcome
from runbook.linkerd.outcomes import few, judge
from runbook.params import Params

__all__ = ["dashboard_hosts", "foreign", "host_regexp"]

SEE = "https://linkerd.io/dns-rebinding"


def host_regexp(params: Params) -> str:
    r"""Give the regular expression: the parameter, or the addresses that are really used.

    These are the chart's own default (a port-forward, the Service), which a value replaces and
    ``linkerd viz dashboard`` needs, and the host of the ingress. Empty leaves the chart's default.

    >>> host_regexp(Params(viz_host="linkerd.example.com")).split("|")[-1]
    'linkerd\\.example\\.com)(:\\d+)?$'
    """
    if params.viz_host_regexp or not params.viz_host:
        return params.viz_host_regexp
    service = f"web.{params.viz_namespace}.svc"
    hosts = ("127.0.0.1", f"{service}.cluster.local", service, "[::1]", params.viz_host)
    return f"^(localhost|{'|'.join(map(_escaped, hosts))})(:\\d+)?$"


def foreign(regexp: str, params: Params) -> list[str]:
    """Give names of others that a regular expression would let in.

    Tried are an unrelated name, and names made from the allowed ones: longer to the left and to the
    right, and with another letter for a dot.
    """
    pattern = re.compile(regexp)
    own = params.viz_host or f"web.{params.viz_namespace}.svc"
    tried = (
        "attacker.example",
        f"{own}.attacker.example",
        f"attacker-{own}",
        own.replace(".", "x", 1) if "." in own else "",
    )
    return [name for name in tried if name and pattern.search(name)]


def dashboard_hosts(context: Context) -> Iterator[Outcome]:
    """The dashboard refuses Host headers that are not its own."""
    params = context.params
    title = "the dashboard accepts its own hosts only"
    regexp = host_regexp(params)
    if not regexp:
        yield judge(
            "viz-hosts",
            title,
            True,
            expected="the chart's default",
            seen="localhost and the Service's own name",
        )
        return
    strangers = foreign(regexp, params)
    refused = params.viz_host and not re.search(regexp, params.viz_host)
    yield judge(
        "viz-hosts",
        title,
        "fail" if refused else "warn" if strangers else "pass",
        expected=f"{params.viz_host or 'its own names'}, and no other",
        seen=f"{regexp} refuses {params.viz_host} itself"
        if refused
        else f"{regexp} lets in {few(strangers)}"
        if strangers
        else regexp,
        why="the ingress would only get an error page"
        if refused
        else "whoever visits a hostile page could have it read this dashboard (DNS rebinding)",
        fix="leave viz_host_regexp empty: it is then made from viz_host",
        see=SEE,
    )


def _escaped(host: str) -> str:
    r"""Escape a host for a Go regular expression; a hyphen needs no escape there.

    >>> _escaped("web.linkerd-viz.svc")
    'web\\.linkerd-viz\\.svc'
    """
    return re.sub(r"([.\[\]])", r"\\\1", host)
