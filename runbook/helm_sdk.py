"""Helm as a library: the wheel ``helm-python-sdk``, no program to install."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from runbook import helm_errors, holder
from runbook.chart_store import ChartInfo, ChartStore
from runbook.errors import HelmError
from runbook.helm import Installed, Object, Release, Revision, parse_manifest
from runbook.progress import progress

if TYPE_CHECKING:
    import helm_python

__all__ = ["SdkHelm"]

T = TypeVar("T")
_CANCEL_GRACE = 30.0  # seconds Helm gets to store that it was cancelled


class SdkHelm:
    """Helm's own Go code in this process.

    Args:
        kubeconfig: Path of the kubeconfig, or several joined as in ``$KUBECONFIG``.
        context: Name of its context.
    """

    def __init__(self, kubeconfig: str, context: str) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._charts = ChartStore(_pull)

    def pull(self, chart: str, version: str, source: str) -> Path:
        """Get a chart as a local archive or directory; pulled once."""
        return self._charts.path(chart, version, source)

    def info(self, chart: str, version: str, source: str) -> ChartInfo:
        """Read a chart's own description."""
        return self._charts.info(chart, version, source)

    def render(self, release: Release) -> list[Object]:
        """Render a release's objects for this cluster; changes nothing."""
        path = self.pull(release.chart, release.version, release.source)
        return parse_manifest(self._rendered(release, path))

    def release(self, name: str, namespace: str) -> Installed | None:
        """Give the newest revision of a release, ``None`` if there is none."""
        with self._config(namespace, f"read release {namespace}/{name}") as config:
            try:
                return _installed(config.status(name), namespace, config.get_values(name))
            except _sdk().HelmError as error:
                if helm_errors.is_not_found(str(error)):
                    return None
                raise

    def history(self, name: str, namespace: str) -> list[Revision]:
        """Give a release's revisions, oldest first; empty if there is none."""
        with self._config(namespace, f"read the history of release {namespace}/{name}") as config:
            try:
                found = config.history(name)
            except _sdk().HelmError as error:
                if helm_errors.is_not_found(str(error)):
                    return []
                raise
        return [
            Revision(
                int(item["revision"]),
                str(item["status"]),
                str(item.get("chart_name", "")),
                str(item.get("chart_version", "")),
                str(item.get("description", "")),
            )
            for item in found
        ]

    def install(self, release: Release, *, timeout: float) -> Installed:
        """Install a release."""
        return self._deploy("install", release, timeout)

    def upgrade(self, release: Release, *, timeout: float) -> Installed:
        """Upgrade a release; its earlier user values are not kept."""
        return self._deploy("upgrade", release, timeout)

    def rollback(self, name: str, namespace: str, revision: int, *, timeout: float) -> None:
        """Go back to an earlier revision, as a new one."""
        doing = f"roll release {namespace}/{name} back to revision {revision}"
        with self._config(namespace, doing) as config:
            _in_thread(lambda: config.rollback(name, version=revision, timeout=round(timeout)))

    def uninstall(self, name: str, namespace: str, *, timeout: float) -> None:
        """Remove a release and its objects."""
        with self._config(namespace, f"uninstall release {namespace}/{name}") as config:
            _in_thread(
                lambda: config.uninstall(name, timeout=round(timeout), ignore_not_found=True)
            )

    def _deploy(self, verb: str, release: Release, timeout: float) -> Installed:
        path = self.pull(release.chart, release.version, release.source)
        values = dict(release.values)
        doing = f"{verb} release {release.title}"
        with (
            progress(f"Helm: {doing}") as told,
            self._config(release.namespace, doing) as config,
            _sdk().HelmContext() as cancel,
        ):
            action = config.install if verb == "install" else config.upgrade
            # reset_values is the default of an upgrade that is given values; without any, Helm
            # would keep the earlier ones, so it is asked for by name.
            extra: dict[str, Any] = {} if verb == "install" else {"reset_values": True}
            done = _in_thread(
                lambda: action(
                    str(path),
                    release.name,
                    values,
                    context=cancel,
                    namespace=release.namespace,
                    timeout=round(timeout),
                    labels={holder.LABEL: holder.mine()},
                    **extra,
                ),
                cancel.cancel,
                told.tell,
            )
        return _installed(done, release.namespace, values)

    def _rendered(self, release: Release, path: Path) -> str:
        """Render with a dry run on the server: its version and kinds count.

        A dry run needs every kind to be known. Where one is not there yet (its CRDs come with an
        earlier step that has not run), render on this side alone.
        """
        existing = self.release(release.name, release.namespace)
        with self._config(release.namespace, f"render release {release.title}") as config:
            action = config.upgrade if existing else config.install
            common: dict[str, Any] = {"namespace": release.namespace}
            if existing:
                common["reset_values"] = True
            values = dict(release.values)
            try:
                found = action(str(path), release.name, values, dry_run="server", **common)
            except _sdk().HelmError as error:
                if "no matches for kind" not in str(error):
                    raise
                found = action(str(path), release.name, values, dry_run="client", **common)
        return str(found["manifest"])

    @contextmanager
    def _config(self, namespace: str, doing: str) -> Iterator[helm_python.Config]:
        """Open a configuration for one action: a longer-lived one would not see new CRDs.

        Raises:
            HelmError: In place of what the library raises inside the block.
        """
        several = ":" in self._kubeconfig  # then Helm finds them itself, in $KUBECONFIG
        try:
            with _sdk().Config(
                kubeconfig_path=None if several else self._kubeconfig,
                kube_context=self._context,
                namespace=namespace,
            ) as config:
                yield config
        except _sdk().HelmError as error:
            raise helm_errors.explain(doing, str(error)) from None


def _sdk() -> Any:
    """Import the library when it is needed: it is 100 MB."""
    try:
        import helm_python  # noqa: PLC0415
    except (ImportError, OSError) as error:
        raise HelmError(
            "the Helm library cannot be loaded",
            why=str(error),
            fix='install the helm program and set the parameter helm to "cli"',
        ) from None
    return helm_python


def _pull(chart: str, version: str, source: str, directory: Path) -> None:
    sdk = _sdk()
    doing = f"pull chart {chart} {version} from {source}"
    try:
        if source.startswith("oci://"):
            reference = source if source.endswith(f"/{chart}") else f"{source.rstrip('/')}/{chart}"
            _in_thread(lambda: sdk.pull(reference, version=version, destination=directory))
        else:
            _in_thread(
                lambda: sdk.pull(chart, repo_url=source, version=version, destination=directory)
            )
    except sdk.HelmError as error:
        raise helm_errors.explain(doing, str(error)) from None


def _installed(summary: dict[str, Any], namespace: str, values: Any) -> Installed:
    return Installed(
        name=str(summary["name"]),
        namespace=str(summary.get("namespace") or namespace),
        revision=int(summary["revision"]),
        status=str(summary["status"]),
        chart=str(summary.get("chart_name", "")),
        version=str(summary.get("chart_version", "")),
        app_version=str(summary.get("app_version", "")),
        values=values or {},
        objects=tuple(parse_manifest(str(summary.get("manifest") or ""))),
    )


def _in_thread(
    action: Callable[[], T],
    cancel: Callable[[], Any] | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> T:
    """Run a blocking call of the library so that Ctrl-C gets through.

    A call into C cannot be interrupted from Python; in a thread of its own it can be waited for
    in small pieces, and told to stop.
    """
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(action())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="helm", daemon=True)
    try:
        thread.start()
        while thread.is_alive():
            thread.join(0.2)
            meanwhile()
    except KeyboardInterrupt:
        if cancel is not None:
            cancel()
        if thread.is_alive():
            thread.join(_CANCEL_GRACE)
        raise
    if failed:
        raise failed[0]
    return done[0]
