"""Helm's messages, as Helm words them, and what is made of them."""

from __future__ import annotations

import pytest

from runbook import helm_errors
from runbook.errors import ForbiddenError, HelmError, UnreachableError

MESSAGES = [
    (
        'looks like "http://127.0.0.1:9/" is not a valid chart repository or cannot be reached: '
        'Get "http://127.0.0.1:9/index.yaml": dial tcp 127.0.0.1:9: connect: connection refused',
        "chart repository cannot be read: Get .* connection refused",
    ),
    (
        'chart "demo" version "9.0.0" not found in http://127.0.0.1:1 repository',
        "repository http://127.0.0.1:1 has no chart demo 9.0.0",
    ),
    (
        'failed to perform "FetchReference" on source: Get "https://r.example/v2/demo/manifests": '
        "dial tcp: lookup r.example: no such host",
        "registry does not give the chart: .* no such host",
    ),
    (
        "chart requires kubeVersion: >=1.31.0-0 which is incompatible with Kubernetes v1.24.1+k3s1",
        r"needs Kubernetes >=1.31.0-0, the cluster has v1.24.1\+k3s1",
    ),
    (
        "another operation (install/upgrade/rollback) is in progress",
        "an earlier Helm operation on this release never ended",
    ),
    (
        'Unable to continue with install: ServiceAccount "linkerd-identity" in namespace "linkerd" '
        "exists and cannot be imported into the current release: invalid ownership metadata; label "
        'validation error: missing key "app.kubernetes.io/managed-by"',
        'ServiceAccount "linkerd-identity" in namespace "linkerd" exists already and does not',
    ),
    (
        'resource mapping not found for name: "x" namespace: "linkerd" from "": no matches for '
        'kind "Server" in version "policy.linkerd.io/v1beta3"\nensure CRDs are installed first',
        "does not know the kind Server of policy.linkerd.io/v1beta3",
    ),
    (
        'create: failed to create: namespaces "linkerd" not found',
        "namespace linkerd does not exist",
    ),
    (
        'Apply failed with 1 conflict: conflict with "kubectl-edit" using apps/v1: .spec.replicas',
        "field .spec.replicas is managed by kubectl-edit",
    ),
]


@pytest.mark.parametrize(("text", "why"), MESSAGES)
def test_known_messages_are_explained(text: str, why: str) -> None:
    error = helm_errors.explain("install release linkerd/x", text)
    assert isinstance(error, HelmError)
    assert error.what == "Helm could not install release linkerd/x"
    with pytest.raises(HelmError, match=f"why: .*{why}"):
        raise error
    assert error.fix


def test_unknown_messages_are_kept_on_one_line() -> None:
    error = helm_errors.explain(
        "x", "execution error at (a.yaml:1:2):\n  please provide the anchors"
    )
    assert error.why == "execution error at (a.yaml:1:2): please provide the anchors"
    assert len(helm_errors.explain("x", "y" * 5000).why) < 1300


def test_unreachable_is_infrastructure() -> None:
    text = 'kubernetes cluster unreachable: Get "https://127.0.0.1:9/version": connection refused'
    error = helm_errors.explain("read release a/b", text)
    assert isinstance(error, UnreachableError)
    assert "connection refused" in error.why


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        (
            ' in the namespace "linkerd"',
            "cannot create roles.rbac.authorization.k8s.io in namespace",
        ),
        (" at the cluster scope", "roles.rbac.authorization.k8s.io at the cluster scope"),
    ],
)
def test_forbidden_names_verb_and_resource(scope: str, words: str) -> None:
    text = (
        'roles.rbac.authorization.k8s.io is forbidden: User "jane" cannot create resource "roles" '
        f'in API group "rbac.authorization.k8s.io"{scope}'
    )
    error = helm_errors.explain("install release linkerd/x", text)
    assert isinstance(error, ForbiddenError)
    assert words in error.what
    assert "jane" in error.why


def test_private_keys_never_show() -> None:
    key = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIabc\n-----END EC PRIVATE KEY-----"
    assert "MHcCAQ" not in str(helm_errors.explain("x", f"cannot parse {key}"))


def test_stuck_says_the_way_out() -> None:
    fresh = helm_errors.stuck("x", "linkerd", "pending-install", 1, 0)
    assert "stuck in pending-install (revision 1)" in fresh.what
    assert "helm -n linkerd uninstall x" in fresh.fix
    later = helm_errors.stuck("x", "linkerd", "pending-upgrade", 4, 3)
    assert "helm -n linkerd rollback x 3" in later.fix


def test_not_found_is_told_apart() -> None:
    assert helm_errors.is_not_found("release: not found")
    assert not helm_errors.is_not_found('namespaces "x" not found')
