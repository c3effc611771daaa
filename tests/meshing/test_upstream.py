"""The tables of meshing against linkerd2 itself, where its sources are at hand.

``LINKERD_SOURCES`` names a directory with a tree of linkerd2 for each tag.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml

from runbook import releases
from runbook.mesh_options import OPTIONS
from runbook.meshing.injector import of_line
from runbook.releases import Line

SOURCES = os.environ.get("LINKERD_SOURCES", "")
TAGS = {
    "2.11": "stable-2.11.5",
    "2.14": "stable-2.14.10",
    "2.19": "version-2.19",
    "2.20": "version-2.20",
}

pytestmark = [
    pytest.mark.skipif(not SOURCES, reason="LINKERD_SOURCES names no sources of linkerd2"),
    pytest.mark.parametrize("line", releases.LINES, ids=lambda line: line.name),
]


def tree(line: Line) -> Path:
    return Path(SOURCES) / TAGS[line.version]


def names(line: Line) -> set[str]:
    """Give the annotations below config.linkerd.io that a line's source has."""
    text = (tree(line) / "pkg/k8s/labels.go").read_text()
    return set(re.findall(r'ProxyConfigAnnotationsPrefix \+ "/([a-z-]+)"', text))


def test_selectors_and_values_of_the_injector(line: Line) -> None:
    chart = tree(line) / "charts" / line.control_plane.name / "values.yaml"
    values = yaml.safe_load(chart.read_text())
    ours, proxy = of_line(line), values["proxy"]
    injector, identity = values["proxyInjector"], values["identity"]
    assert ours.namespace_selector == injector["namespaceSelector"]
    assert ours.object_selector == injector.get("objectSelector", {})
    assert ours.token_projection is identity.get("serviceAccountTokenProjection", False)
    assert ours.native is proxy.get("nativeSidecar", False)
    # Before the value existed, the endpoint was there for everybody.
    assert ours.shutdown is proxy.get("enableShutdownEndpoint", True)
    assert ours.ignores_failure is (values["webhookFailurePolicy"] == "Ignore")


def test_annotations_for_native_sidecars(line: Line) -> None:
    text = (tree(line) / "pkg/k8s/labels.go").read_text()
    found = re.findall(r'ProxyConfigAnnotationsPrefix(\w*) \+ "/proxy-enable-native', text)
    prefixes = {"": "config.", "Beta": "config.beta.", "Alpha": "config.alpha."}
    known = [
        prefixes[stage] + "linkerd.io/proxy-enable-native-sidecar"
        for stage in prefixes
        if stage in found
    ]
    assert list(of_line(line).native_annotations) == known


def test_init_containers_count_as_sidecars(line: Line) -> None:
    text = (tree(line) / "pkg/healthcheck/sidecar.go").read_text()
    assert of_line(line).init_sidecars is ("append(podSpec.InitContainers" in text)


def test_options_exist_from_the_line_they_name(line: Line) -> None:
    lines = [one.version for one in releases.LINES]
    reached = lines[: lines.index(line.version) + 1]
    ours = {name for name, option in OPTIONS.items() if option.since in reached}
    assert ours <= names(line)
    later = {name for name, option in OPTIONS.items() if option.since not in reached}
    assert not later & names(line)
    internal = {"admission-webhooks", "enable-gateway", "disable-identity"}
    images = {name for name in names(line) if name.startswith(("init-image", "debug-image"))}
    assert names(line) - ours <= internal | images


def test_options_that_pods_take_from_their_namespace(line: Line) -> None:
    labels = (tree(line) / "pkg/k8s/labels.go").read_text()
    constants = dict(re.findall(r'(\w+)\s+= ProxyConfigAnnotationsPrefix \+ "/([a-z-]+)"', labels))
    source = (tree(line) / "pkg/inject/inject.go").read_text()
    block = re.search(r"ProxyAnnotations = \[\]string{(.*?)}", source, re.DOTALL)
    assert block is not None
    inherited = {
        constants[name] for name in re.findall(r"k8s\.(\w+)", block[1]) if name in constants
    }
    known = names(line) & set(OPTIONS)
    assert {name for name in known if OPTIONS[name].inherited} == inherited & set(OPTIONS)
