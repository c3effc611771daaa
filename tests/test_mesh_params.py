"""The parameters of meshing: what they refuse, and the annotations they become."""

from __future__ import annotations

from typing import Any

import pytest

from runbook.errors import ParameterError
from runbook.mesh_options import OPTIONS, problem
from runbook.params import Params


def test_options_become_annotations() -> None:
    options = {
        "skip-outbound-ports": 443,
        "config.linkerd.io/proxy-memory-limit": "64Mi",
        "enable-debug-sidecar": True,
        "opaque-ports": "",
    }
    given = {name: value for name, value in options.items() if value != ""}
    assert Params.parse({"mesh_options": given}).mesh_annotations == {
        "config.linkerd.io/skip-outbound-ports": "443",
        "config.linkerd.io/proxy-memory-limit": "64Mi",
        "config.linkerd.io/enable-debug-sidecar": "true",
    }
    assert Params.parse({}).mesh_annotations == {}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"skip-outbound-port": "443"}, "did you mean skip-outbound-ports"),
        ({"skip-outbound-ports": "0"}, 'must be ports such as "25,4000-4100"'),
        ({"skip-outbound-ports": "70000"}, "must be ports"),
        ({"proxy-cpu-limit": "lots"}, 'a quantity such as "100m"'),
        ({"proxy-await": True}, "must be enabled or disabled"),
        ({"close-wait-timeout": "10"}, 'a duration such as "10s"'),
        ({"default-inbound-policy": "none"}, "all-unauthenticated or all-authenticated"),
        ({"proxy-additional-env": "[1]"}, "a JSON list of EnvVar"),
        ({"skip-subnets": "10.0.0.0"}, 'networks such as "10.0.0.0/8"'),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ParameterError, match=r"mesh_options: ") as caught:
        Params.parse({"mesh_options": options})
    assert told in caught.value.what


@pytest.mark.parametrize("workload", ["podinfo", "deploy/podinfo", "deployment/", "Deployment/a"])
def test_workloads_are_named_as_kubectl_does(workload: str) -> None:
    with pytest.raises(ParameterError, match="must be a kind and a name"):
        Params.parse({"mesh_workloads": f"statefulset/db, {workload}"})


GOOD = {
    "networks": "10.0.0.0/8,fd00::/8",
    "ports": "25,4000-4100",
    "quantity": "64Mi",
    "fraction": "0.5",
    "duration": "1h30m",
    "whole": "102",
    "JSON": '[{"name": "A", "value": "b"}]',
    "text": "warn,linkerd=debug",
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_takes_a_value_of_its_form(name: str) -> None:
    form = OPTIONS[name].form
    value = next((v for word, v in GOOD.items() if word in form), form.partition(" or ")[0])
    assert problem(name, value) == ""
    assert problem(name, "") != ""
