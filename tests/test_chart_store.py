"""Charts as local files."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from runbook.chart_store import ChartInfo, ChartStore
from runbook.errors import HelmError

META = (
    'apiVersion: v2\nname: {name}\nversion: {version}\nappVersion: "26.6"\nkubeVersion: ">=1.31"\n'
)


def archive(path: Path, name: str = "demo", version: str = "1.2.3") -> Path:
    """Write a chart archive with a subchart, whose Chart.yaml must not be taken."""
    with tarfile.open(path, "w:gz") as tar:
        for inner, text in (
            (f"{name}/charts/sub/Chart.yaml", META.format(name="sub", version="9.9.9")),
            (f"{name}/Chart.yaml", META.format(name=name, version=version)),
        ):
            info = tarfile.TarInfo(inner)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return path


def no_pull(chart: str, version: str, source: str, directory: Path) -> None:
    pytest.fail("nothing to pull for a local chart")


def test_pulls_once_and_cleans_up(tmp_path: Path) -> None:
    pulled: list[tuple[str, str, str]] = []

    def pull(chart: str, version: str, source: str, directory: Path) -> None:
        pulled.append((chart, version, source))
        archive(directory / f"{chart}-{version}.tgz", chart, version)

    store = ChartStore(pull)
    path = store.path("demo", "1.2.3", "https://charts.example")
    assert store.path("demo", "1.2.3", "https://charts.example") == path
    assert store.info("demo", "1.2.3", "https://charts.example") == ChartInfo(
        "demo", "1.2.3", "26.6", ">=1.31"
    )
    store.path("other", "1.0.0", "https://charts.example")
    assert pulled == [
        ("demo", "1.2.3", "https://charts.example"),
        ("other", "1.0.0", "https://charts.example"),
    ]
    del store
    assert not path.exists()


@pytest.mark.parametrize("where", [".", "demo-1.2.3.tgz"])
def test_local_archive(tmp_path: Path, where: str) -> None:
    archive(tmp_path / "demo-1.2.3.tgz")
    store = ChartStore(no_pull)
    assert store.info("demo", "1.2.3", str(tmp_path / where)).version == "1.2.3"


@pytest.mark.parametrize("where", [".", "demo"])
def test_local_directory_of_any_version(tmp_path: Path, where: str) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "Chart.yaml").write_text(
        META.format(name="demo", version="0.0.0-undefined")
    )
    found = ChartStore(no_pull).info("demo", "1.2.3", str(tmp_path / where))
    assert found.version == "0.0.0-undefined"


def test_missing_chart_says_what_is_there(tmp_path: Path) -> None:
    archive(tmp_path / "demo-1.0.0.tgz")
    with pytest.raises(HelmError, match=r"chart demo 1\.2\.3 not found") as caught:
        ChartStore(no_pull).path("demo", "1.2.3", str(tmp_path))
    assert "demo-1.0.0.tgz" in caught.value.why
    with pytest.raises(HelmError) as caught:
        ChartStore(no_pull).path("demo", "1.2.3", str(tmp_path / "nowhere"))
    assert "no such file" in caught.value.why


def test_another_chart_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.tgz", name="linkerd-viz")
    with pytest.raises(HelmError, match="holds the chart linkerd-viz, not demo"):
        ChartStore(no_pull).info("demo", "1.2.3", str(path))


def test_no_chart_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.tgz"
    path.write_text("hello")
    with pytest.raises(HelmError, match="is not a Helm chart"):
        ChartStore(no_pull).info("demo", "1.2.3", str(path))
