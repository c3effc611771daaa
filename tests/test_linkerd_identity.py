"""Checks of notebooks 10 to 13: cert-manager, the root, the issuer, the trust anchor."""

from datetime import timedelta

import pytest
import yaml
from fake_context import (
    ISSUER,
    ROOT,
    FakeCluster,
    b64,
    bad,
    conditions,
    config_values,
    context,
    installed,
    issuer_objects,
    obj,
    secret,
    verdicts,
)
from make_certs import NOW, issue, issuer

from runbook import linkerd, manifests
from runbook.errors import CertificateError

PLAN = {"mode": "plan"}


def deployment(name, available="True", version="v1.17.0"):
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/version": version}
    full = name if name == "cert-manager" else f"cert-manager-{name}"
    status = conditions(Available=available)
    return obj("apps/v1", "Deployment", full, "cert-manager", labels, status=status)


def cert_manager():
    return [deployment(name) for name in ("cert-manager", "webhook", "cainjector")]


def issued(**params):
    return context(FakeCluster(issuer_objects()), **params)


def replaced(one=ISSUER, root=ROOT, ca=None, **params):
    chosen = context(FakeCluster(issuer_objects(root, one)), **params)
    if ca is not None:
        chosen.cluster.edit("Secret", "linkerd-identity-issuer")["data"]["ca.crt"] = b64(ca)
    return chosen


def test_cert_manager_at_work():
    chosen = context(FakeCluster(cert_manager()))
    assert bad(linkerd.cert_manager_running, chosen) == {}
    assert bad(linkerd.cert_manager_crds, chosen) == {}


def test_cert_manager_is_known_by_name_where_it_has_no_labels():
    bare = cert_manager()
    for one in bare:
        del one["metadata"]["labels"]
    assert bad(linkerd.cert_manager_running, context(FakeCluster(bare))) == {}


def test_missing_kinds_are_named():
    chosen = context()
    chosen.cluster.absent_kinds = {"ClusterIssuer"}
    [outcome] = linkerd.cert_manager_crds(chosen)
    assert outcome.verdict == "fail"
    assert "ClusterIssuer" in outcome.seen
    assert "helm install cert-manager" in outcome.fix


def test_deployments_that_are_missing_or_down():
    [nothing] = linkerd.cert_manager_running(context())
    assert nothing.verdict == "fail"
    assert "no webhook deployment" in nothing.seen
    down = [*cert_manager()[:2], deployment("cainjector", "False")]
    [outcome] = linkerd.cert_manager_running(context(FakeCluster(down)))
    assert "cert-manager-cainjector" in outcome.seen


def test_the_cluster_issuer():
    assert bad(linkerd.cluster_issuer, issued()) == {}
    assert bad(linkerd.cluster_issuer, context()) == {"cluster-issuer": "fail"}
    [pending] = linkerd.cluster_issuer(context(**PLAN, create_ca=True))
    assert pending.verdict == "skip"
    assert "10-cert-manager-ca creates ClusterIssuer" in pending.seen


def test_a_plan_does_not_count_on_a_ca_that_nothing_will_create():
    [missing] = linkerd.cluster_issuer(context(**PLAN, create_ca=False))
    assert missing.verdict == "fail"
    assert "10-cert-manager-ca with create_ca: true" in missing.fix


def test_a_cluster_issuer_that_is_not_ready_tells_its_reason_and_the_namespace():
    chosen = issued()
    chosen.cluster.edit("ClusterIssuer", "ca-issuer")["status"] = {
        "conditions": [
            {"type": "Ready", "status": "False", "reason": "ErrGetKeyPair", "message": "not found"}
        ]
    }
    chosen.cluster.remove("Secret", "root-secret")
    chosen.cluster.add(secret("root-secret", "default", tls_crt=ROOT.pem))
    [outcome] = linkerd.cluster_issuer(chosen)
    assert outcome.verdict == "fail"
    assert "ErrGetKeyPair: not found" in outcome.seen
    assert "is in default" in outcome.why


def test_an_issuer_of_another_type_is_a_warning():
    chosen = issued()
    chosen.cluster.edit("ClusterIssuer", "ca-issuer")["spec"] = {"acme": {}}
    assert bad(linkerd.cluster_issuer, chosen) == {"cluster-issuer": "warn"}
    assert bad(linkerd.root_certificate, chosen) == {"root-secret": "skip"}


def test_a_root_that_is_all_right():
    assert bad(linkerd.root_certificate, issued()) == {}


def test_the_seed_document_s_root_of_90_days_is_a_warning():
    short = issue("picluster-ca", lasts=timedelta(days=90))
    chosen = replaced(issuer(short), short)
    [outcome] = [o for o in linkerd.root_certificate(chosen) if o.verdict != "pass"]
    assert (outcome.id, outcome.verdict) == ("root-anchor-lifetime", "warn")
    assert "90 days" in outcome.why


def test_a_root_whose_key_changes_at_renewal_is_a_warning():
    chosen = issued()
    chosen.cluster.edit("Certificate", "root-secret")["spec"]["privateKey"] = {}
    assert bad(linkerd.root_certificate, chosen) == {"root-rotation": "warn"}


def test_a_root_with_another_key_fails():
    chosen = issued()
    data = chosen.cluster.edit("Secret", "root-secret")["data"]
    data["tls.key"] = b64(issue("other").key_pem)
    assert bad(linkerd.root_certificate, chosen) == {"root-key": "fail"}


@pytest.mark.parametrize("text", ["", "no PEM"])
def test_a_root_that_cannot_be_read_fails(text):
    chosen = issued()
    chosen.cluster.edit("Secret", "root-secret")["data"]["tls.crt"] = b64(text)
    assert bad(linkerd.root_certificate, chosen) == {"root-readable": "fail"}


def test_creating_a_root_takes_nothing_over():
    free = context(create_ca=True)
    assert bad(linkerd.root_unclaimed, free) == {}
    assert bad(linkerd.root_unclaimed, issued(create_ca=True)) == {}
    assert bad(linkerd.root_unclaimed, issued()) == {"root-unclaimed": "skip"}
    orphan = issued(create_ca=True)
    orphan.cluster.remove("Certificate", "root-secret")
    assert bad(linkerd.root_unclaimed, orphan) == {"root-unclaimed": "fail"}
    orphan.cluster.add(
        obj("cert-manager.io/v1", "Certificate", "picluster-ca", "cert-manager")
        | {"spec": {"secretName": "root-secret"}}
    )
    assert bad(linkerd.root_unclaimed, orphan) == {"root-unclaimed": "fail"}


def test_the_namespace_has_its_labels():
    chosen = context()
    assert bad(linkerd.linkerd_namespace, chosen) == {"linkerd-namespace": "fail"}
    assert bad(linkerd.linkerd_namespace, context(**PLAN)) == {"linkerd-namespace": "skip"}
    chosen.cluster.add(manifests.namespace(chosen.line, chosen.params))
    assert bad(linkerd.linkerd_namespace, chosen) == {}
    labels = chosen.cluster.edit("Namespace", "linkerd")["metadata"]["labels"]
    del labels["linkerd.io/is-control-plane"]
    [outcome] = linkerd.linkerd_namespace(chosen)
    assert outcome.verdict == "fail"
    assert "linkerd.io/is-control-plane: absent" in outcome.seen


ISSUER_CHECKS = (linkerd.issuer_certificate, linkerd.issuer_secret, linkerd.issuer_chain)


def test_an_issuer_that_is_all_right():
    for check in ISSUER_CHECKS:
        assert bad(check, issued()) == {}, check.__name__


@pytest.mark.parametrize("check", ISSUER_CHECKS)
def test_an_issuer_that_is_not_there(check):
    assert set(verdicts(check, context()).values()) == {"fail"}
    assert set(verdicts(check, context(**PLAN)).values()) == {"skip"}


def test_a_certificate_that_is_never_ready_tells_why():
    chosen = issued()
    chosen.cluster.edit("Certificate", "linkerd-identity-issuer")["status"] = {
        "conditions": [
            {"type": "Ready", "status": "False", "reason": "DoesNotExist", "message": "no Secret"},
            {"type": "Issuing", "status": "False", "message": "issuer not found"},
        ],
        "failedIssuanceAttempts": 2,
    }
    [outcome, *_] = linkerd.issuer_certificate(chosen)
    assert outcome.verdict == "fail"
    assert "2 failed attempts" in outcome.seen
    assert "issuer not found" in outcome.why


def test_a_renewal_that_is_overdue_fails():
    chosen = issued()
    status = chosen.cluster.edit("Certificate", "linkerd-identity-issuer")["status"]
    status["renewalTime"] = (NOW - timedelta(hours=3)).isoformat()
    assert bad(linkerd.issuer_certificate, chosen) == {"issuer-renewal-time": "fail"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s["data"].pop("ca.crt"), {"issuer-secret": "fail"}),
        (lambda s: s["data"].update({"tls.key": b64(ROOT.key_pem)}), {"issuer-key": "fail"}),
        (lambda s: s.update(type="Opaque"), {"issuer-secret": "fail"}),
    ],
)
def test_defects_of_the_issuer_secret(change, expected):
    chosen = issued()
    change(chosen.cluster.edit("Secret", "linkerd-identity-issuer"))
    assert bad(linkerd.issuer_secret, chosen) == expected


def test_a_secret_of_the_linkerd_cli_is_recognised():
    cluster = FakeCluster(
        [secret("linkerd-identity-issuer", "linkerd", "Opaque", crt_pem=ISSUER.pem)]
    )
    [outcome] = linkerd.issuer_secret(context(cluster))
    assert "linkerd CLI" in outcome.why


def test_an_anchor_that_does_not_sign_the_issuer():
    assert bad(linkerd.issuer_chain, replaced(ca=issue("picluster-ca").pem)) == {
        "issuer-chain": "fail"
    }


def test_an_issuer_without_the_ca_bit():
    assert bad(linkerd.issuer_chain, replaced(issuer(ROOT, ca=False))) == {"issuer-ca-bit": "fail"}


def test_no_outcome_shows_a_private_key():
    chosen = issued()
    body = ISSUER.key_pem.splitlines()[1]
    for check in (*ISSUER_CHECKS, linkerd.root_certificate, linkerd.trust_anchor):
        text = repr(list(check(chosen)))
        assert "PRIVATE" not in text
        assert body not in text
        assert b64(ISSUER.key_pem)[:40] not in text


def test_the_trust_anchor_shows_facts_and_is_canonical():
    anchor = linkerd.read_trust_anchor(replaced(ca=ROOT.pem.replace("\n", "\r\n") + "\n\n"))
    assert anchor
    assert anchor.pem == ROOT.pem.strip()
    assert "picluster-ca" in repr(anchor)
    assert anchor.certificates[0].fingerprint in repr(anchor)
    assert "BEGIN" not in repr(anchor)


def test_in_plan_mode_a_trust_anchor_may_be_to_come():
    anchor = linkerd.read_trust_anchor(context(**PLAN))
    assert not anchor
    assert repr(anchor) == "the trust anchor is not there yet: 12-identity-issuer creates it"
    assert bad(linkerd.trust_anchor, context(**PLAN)) == {"anchor-ca-bit": "skip"}


@pytest.mark.parametrize("mode", ["apply", "verify"])
def test_otherwise_a_missing_trust_anchor_is_an_error(mode):
    with pytest.raises(CertificateError, match="no trust anchor: Secret"):
        linkerd.read_trust_anchor(context(mode=mode))


def test_a_secret_without_ca_crt_is_an_error_in_every_mode():
    chosen = replaced(ca="", **PLAN)
    with pytest.raises(CertificateError, match=r"no trust anchor: ca\.crt is missing"):
        linkerd.read_trust_anchor(chosen)


def test_the_anchor_is_the_root_that_signs_now():
    assert bad(linkerd.trust_anchor, issued()) == {}
    new = issue("picluster-ca")
    chosen = issued()
    data = chosen.cluster.edit("Secret", "root-secret")["data"]
    data |= {"tls.crt": b64(new.pem), "tls.key": b64(new.key_pem)}
    assert bad(linkerd.trust_anchor, chosen) == {"anchor-is-root": "warn"}


def test_an_installed_mesh_with_another_anchor_is_a_warning_in_notebook_13():
    chosen = installed()
    other = issue("picluster-ca")
    config = chosen.cluster.edit("ConfigMap", "linkerd-config")
    config["data"]["values"] = yaml.safe_dump(config_values(other))
    assert bad(linkerd.trust_anchor, chosen) == {"installed-trust-roots-config": "warn"}


def test_the_root_is_created_only_when_asked():
    assert linkerd.root_ca(context()) == []
    assert len(linkerd.root_ca(context(create_ca=True))) == 3
