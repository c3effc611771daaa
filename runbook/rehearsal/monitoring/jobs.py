"""A job of the configuration, and the targets that its rules make of what is discovered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runbook.rehearsal.monitoring.relabel import relabel
from runbook.rehearsal.monitoring.selectors import seconds

__all__ = ["Job", "Target"]


@dataclass
class Target:
    """One target and how it fares.

    Args:
        discovered: Its labels before relabelling.
        labels: Its own labels.
        url: Where it is scraped.
    """

    discovered: dict[str, str]
    labels: dict[str, str]
    url: str
    health: str = "unknown"
    error: str = ""
    scraped: float = 0.0
    duration: float = 0.0
    due: float = 0.0
    series: set[Any] = field(default_factory=set)

    @property
    def identity(self) -> tuple[Any, ...]:
        """Give what tells it from other targets of its job."""
        return tuple(sorted(self.labels.items())), self.url


@dataclass(frozen=True)
class Job:
    """One entry of ``scrape_configs``.

    Args:
        settings: The entry.
        defaults: The section ``global``.
    """

    settings: Mapping[str, Any]
    defaults: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Give its name."""
        return str(self.settings["job_name"])

    @property
    def interval(self) -> str:
        """Give the time between two scrapes, as it is written."""
        return self._timing("scrape_interval", "1m")

    @property
    def timeout(self) -> str:
        """Give how long a scrape may take: not longer than the interval."""
        return min(self._timing("scrape_timeout", "10s"), self.interval, key=seconds)

    @property
    def urls(self) -> list[str]:
        """Give where its targets are listed."""
        return [found["url"] for found in self.settings.get("http_sd_configs") or []]

    @property
    def refresh(self) -> float:
        """Give the seconds between two lists of targets."""
        found = self.settings.get("http_sd_configs") or [{}]
        return seconds(found[0].get("refresh_interval", "60s"))

    def _timing(self, field_: str, default: str) -> str:
        return str(self.settings.get(field_) or self.defaults.get(field_) or default)

    def targets(
        self, groups: Iterable[Mapping[str, Any]], url: str
    ) -> tuple[list[Target], list[dict[str, str]]]:
        """Make targets of what was listed.

        Args:
            groups: As HTTP service discovery has them.
            url: Where they were listed.

        Returns:
            The targets, and the labels of those that the rules drop.
        """
        kept: list[Target] = []
        dropped: list[dict[str, str]] = []
        for group in groups:
            for address in group["targets"]:
                known = {**self._given(), **group["labels"], "__address__": address}
                known["__meta_url"] = url
                discovered = {name: value for name, value in known.items() if value}
                found = relabel(discovered, self.settings.get("relabel_configs") or [])
                if found is None or not found.get("__address__"):
                    dropped.append(discovered)
                else:
                    kept.append(_target(discovered, found))
        return kept, dropped

    def _given(self) -> dict[str, str]:
        """Give the labels every target starts with."""
        given = {
            "job": self.name,
            "__metrics_path__": str(self.settings.get("metrics_path") or "/metrics"),
            "__scheme__": str(self.settings.get("scheme") or "http"),
            "__scrape_interval__": self.interval,
            "__scrape_timeout__": self.timeout,
        }
        for name, values in (self.settings.get("params") or {}).items():
            given |= {f"__param_{name}": str(values[0])} if values else {}
        return given

    def sample_labels(
        self, exposed: Mapping[str, str], target: Mapping[str, str]
    ) -> dict[str, str] | None:
        """Put the labels of a target on a sample; None when it is not to be kept.

        Where both have a label the target's counts, and the sample's own is called
        ``exported_...``; with ``honor_labels`` the sample's counts.
        """
        if self.settings.get("honor_labels"):
            labels = {**target, **exposed}
        else:
            renamed = {f"exported_{k}" if k in target else k: v for k, v in exposed.items()}
            labels = {**renamed, **target}
        return relabel(labels, self.settings.get("metric_relabel_configs") or [])


def _target(discovered: dict[str, str], labels: Mapping[str, str]) -> Target:
    address = labels["__address__"]
    url = f"{labels['__scheme__']}://{address}{labels['__metrics_path__']}"
    parameters = [
        f"{name[8:]}={value}" for name, value in labels.items() if name.startswith("__param_")
    ]
    url += f"?{'&'.join(parameters)}" if parameters else ""
    own = {name: value for name, value in labels.items() if not name.startswith("__")}
    own.setdefault("instance", address)
    return Target(discovered, own, url)
