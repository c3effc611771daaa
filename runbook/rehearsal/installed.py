"""What the owner of the Pi cluster has installed with Helm: its objects, and Helm's record of it.

The charts are our own, in ``charts/services``. At the start their templates are read as they are,
with every block in braces left out, which is what Helm makes of them with the charts' own values;
a test compares the two. So a cluster starts without running Helm, and Helm finds releases that it
can read, upgrade and roll back.
"""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

import yaml

from runbook.rehearsal.client import Object

__all__ = ["RELEASES", "Installed", "read"]

CHARTS = Path(__file__).parent / "charts" / "services"
_BLOCK = re.compile(r"^ *\{\{- with .*?^ *\{\{- end \}\}\n", re.MULTILINE | re.DOTALL)
_WHEN = "2026-01-01T00:00:00Z"
_HOOK = "helm.sh/hook"


@dataclass(frozen=True)
class Installed:
    """One Helm release.

    Args:
        name: Of the release and of its chart.
        namespace: Where it is.
    """

    name: str
    namespace: str

    @property
    def directory(self) -> Path:
        """Give the directory of its chart."""
        return CHARTS / self.name

    def objects(self, *templates: str) -> list[Object]:
        """Give its objects, those of some templates or all, with the marks Helm leaves on them."""
        chosen = [path for path in self._templates() if not templates or path.name in templates]
        found = [obj for path in chosen for obj in read(path)]
        return [self._marked(obj) for obj in found if _HOOK not in _notes(obj)]

    def record(self) -> Object:
        """Give Helm's record of the release: its first revision."""
        chart = yaml.safe_load((self.directory / "Chart.yaml").read_text())
        values = yaml.safe_load((self.directory / "values.yaml").read_text())
        templates = [
            {"name": f"templates/{path.name}", "data": b64encode(path.read_bytes()).decode()}
            for path in self._templates()
        ]
        release = {
            "name": self.name,
            "namespace": self.namespace,
            "version": 1,
            "info": {
                "first_deployed": _WHEN,
                "last_deployed": _WHEN,
                "deleted": "",
                "description": "Install complete",
                "status": "deployed",
            },
            "chart": {"metadata": chart, "templates": templates, "values": values},
            "config": {},
            "manifest": self._manifest(),
            "hooks": [],
        }
        packed = b64encode(gzip.compress(json.dumps(release).encode(), mtime=0))
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "helm.sh/release.v1",
            "metadata": {
                "name": f"sh.helm.release.v1.{self.name}.v1",
                "namespace": self.namespace,
                "labels": {
                    "name": self.name,
                    "owner": "helm",
                    "status": "deployed",
                    "version": "1",
                    "modifiedAt": "1767225600",
                },
            },
            "data": {"release": b64encode(packed).decode()},
        }

    def _templates(self) -> list[Path]:
        return sorted((self.directory / "templates").iterdir())

    def _manifest(self) -> str:
        return "".join(
            f"---\n# Source: {self.name}/templates/{path.name}\n{text}"
            for path in self._templates()
            for text in _BLOCK.sub("", path.read_text()).split("---\n")
            if _HOOK not in text
        )

    def _marked(self, obj: Object) -> Object:
        meta = obj["metadata"]
        meta["labels"] = {**(meta.get("labels") or {}), "app.kubernetes.io/managed-by": "Helm"}
        meta["annotations"] = {
            **_notes(obj),
            "meta.helm.sh/release-name": self.name,
            "meta.helm.sh/release-namespace": self.namespace,
        }
        return obj


def read(path: Path) -> list[Object]:
    """Read the objects of a template, without its blocks in braces."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = _BLOCK.sub("", path.read_text())
    return [obj for obj in yaml.load_all(text, loader) if obj]


def _notes(obj: Object) -> dict[str, str]:
    found: dict[str, str] = obj["metadata"].get("annotations") or {}
    return found


MONITORING = Installed("kube-prometheus-stack", "k3s-monitoring")

RELEASES = (
    MONITORING,
    Installed("longhorn", "longhorn-system"),
    Installed("velero", "velero"),
)
"""The releases, in the order they were installed."""
