"""The table of release lines and the choices made from it."""

import pytest

from runbook.errors import LineError
from runbook.releases import DEFAULT, LINES, charts, find, newest_for, parse_version, require


def test_the_default_line_exists_and_is_the_newest():
    assert find(DEFAULT) is LINES[-1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("stable-2.11", [("linkerd2", "2.11.5")]),
        ("stable-2.14", [("linkerd-crds", "1.8.0"), ("linkerd-control-plane", "1.16.11")]),
        ("edge-2.19", [("linkerd-crds", "2025.10.7"), ("linkerd-control-plane", "2025.10.7")]),
        ("edge-2.20", [("linkerd-crds", "2026.6.3"), ("linkerd-control-plane", "2026.6.3")]),
    ],
)
def test_the_charts_of_each_line(name, expected):
    assert [(chart.name, chart.version) for chart in find(name).charts] == expected


def test_edge_chart_versions_follow_from_the_release():
    for line in LINES:
        if line.app_version.startswith("edge-"):
            assert line.control_plane.version == "20" + line.app_version.removeprefix("edge-")


def test_an_unknown_line_suggests_the_nearest():
    with pytest.raises(LineError) as caught:
        find("edge-220")
    assert caught.value.fix == "did you mean edge-2.20?"


@pytest.mark.parametrize(
    ("line", "server"),
    [
        ("stable-2.11", "1.24.17+k3s1"),
        ("stable-2.14", "1.21.0"),
        ("stable-2.14", "1.35.0"),
        ("edge-2.19", "v1.23.0"),
        ("edge-2.20", "v1.31.0+k3s1"),
        ("edge-2.20", "1.36.1"),
    ],
)
def test_lines_run_inside_their_range(line, server):
    require(find(line), server)


@pytest.mark.parametrize(
    ("line", "server", "word", "able"),
    [
        ("edge-2.20", "1.30.4+k3s1", "too old", "edge-2.19 or stable-2.14"),
        ("edge-2.19", "1.22.0", "too old", "stable-2.14 or stable-2.11"),
        ("stable-2.11", "1.25.0", "too new", "edge-2.19 or stable-2.14"),
        ("stable-2.11", "1.16.9", "too old", "no line"),
    ],
)
def test_a_server_outside_the_range_is_told_which_lines_can_run(line, server, word, able):
    with pytest.raises(LineError) as caught:
        require(find(line), server)
    assert word in caught.value.what
    assert able in caught.value.fix


def test_2_11_on_1_25_says_which_object_stops_it():
    with pytest.raises(LineError, match="batch/v1beta1"):
        require(find("stable-2.11"), "1.25.0")


@pytest.mark.parametrize(
    ("server", "expected"),
    [("1.35.0", "edge-2.20"), ("1.30.0", "edge-2.19"), ("1.22.1", "stable-2.14"), ("1.9.0", None)],
)
def test_the_newest_line_for_a_server(server, expected):
    line = newest_for(server)
    assert (line.name if line else None) == expected


def test_versions_compare_as_numbers():
    assert parse_version("v1.9.3") < parse_version("1.10.0-rc.1+k3s1")
    with pytest.raises(LineError, match="is not a Kubernetes version"):
        parse_version("unknown")


def test_another_chart_version_moves_the_charts_that_share_it():
    edge = charts(find("edge-2.20"), "2026.8.3")
    assert [chart.version for chart in edge] == ["2026.8.3", "2026.8.3"]
    stable = charts(find("stable-2.14"), "1.16.10")
    assert [chart.version for chart in stable] == ["1.8.0", "1.16.10"]
    assert charts(find("stable-2.11")) == find("stable-2.11").charts


def test_every_line_names_the_crds_and_ports_the_checks_rely_on():
    for line in LINES:
        assert {"identity", "destination", "proxy-injector"} <= set(line.admin_ports)
        names = [crd.name for crd in line.crds]
        assert "servers.policy.linkerd.io" in names
        assert len(names) == len(set(names))
