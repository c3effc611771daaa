"""Bodies as kubectl and Helm send them, decoded."""

from __future__ import annotations

import pytest

from runbook.rehearsal.apiserver import protobuf

# Recorded from kubectl 1.32: `kubectl create namespace t2`, `kubectl auth can-i list pods`.
NAMESPACE = bytes.fromhex(
    "6b38730 00a0f0a027631 12094e616d657370616365121a0a120a0274321200 1a0022002a0032003800"
    "420012001a020a001a002200".replace(" ", "")
)
REVIEW = bytes.fromhex(
    "6b3873000a320a17617574686f72697a6174696f6e2e6b38732e696f2f7631121753656c665375626a656374"
    "416363657373526576696577123d0a100a0012001a0022002a0032003800420012 1f0a1d0a0764656661756c"
    "7412046c6973741a0022002a04706f647332003a001a080800120 01a0020001a002200".replace(" ", "")
)


def field(number: int, value: bytes | int | str) -> bytes:
    """Encode one field of the wire format."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def body(api_version: str, kind: str, message: bytes) -> bytes:
    about = field(1, api_version) + field(2, kind)
    return b"k8s\x00" + field(1, about) + field(2, message) + field(3, "") + field(4, "")


def test_a_namespace_of_kubectl() -> None:
    assert protobuf.decode(NAMESPACE) == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "t2"},
        "spec": {},
    }


def test_an_access_review_of_kubectl() -> None:
    review = protobuf.decode(REVIEW)
    assert (review["apiVersion"], review["kind"]) == (
        "authorization.k8s.io/v1",
        "SelfSubjectAccessReview",
    )
    assert review["spec"] == {
        "resourceAttributes": {"namespace": "default", "verb": "list", "resource": "pods"}
    }


def test_a_secret_keeps_its_bytes_labels_and_managed_fields() -> None:
    managed = (
        field(1, "Helm")
        + field(2, "Update")
        + field(4, field(1, 1_700_000_000))
        + field(6, "FieldsV1")
        + field(7, field(1, '{"f:data":{}}'))
    )
    metadata = (
        field(1, "sh.helm.release.v1.web.v1")
        + field(7, 2)
        + field(8, field(1, 1_700_000_000) + field(2, 0))
        + field(11, field(1, "owner") + field(2, "helm"))
        + field(11, field(1, "empty") + field(2, ""))
        + field(17, managed)
    )
    secret = (
        field(1, metadata)
        + field(2, field(1, "release") + field(2, b"\x00\xff"))
        + field(3, "helm.sh/release.v1")
        + field(5, 0)
    )
    assert protobuf.decode(body("v1", "Secret", secret)) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "sh.helm.release.v1.web.v1",
            "generation": 2,
            "creationTimestamp": "2023-11-14T22:13:20Z",
            "labels": {"owner": "helm", "empty": ""},
            "managedFields": [
                {
                    "manager": "Helm",
                    "operation": "Update",
                    "time": "2023-11-14T22:13:20Z",
                    "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:data": {}},
                }
            ],
        },
        "data": {"release": "AP8="},
        "type": "helm.sh/release.v1",
        "immutable": False,
    }


def test_delete_options_keep_a_grace_period_of_zero() -> None:
    options = field(1, 0) + field(4, "Background") + field(5, "All")
    assert protobuf.decode(body("v1", "DeleteOptions", options)) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Background",
        "dryRun": ["All"],
    }


def test_a_lease_writes_its_time_with_microseconds() -> None:
    renewed = field(1, 1_700_000_000) + field(2, 123_456_789)
    lease = field(2, field(1, "node-1") + field(2, 40) + field(4, renewed))
    spec = protobuf.decode(body("coordination.k8s.io/v1", "Lease", lease))["spec"]
    assert spec == {
        "holderIdentity": "node-1",
        "leaseDurationSeconds": 40,
        "renewTime": "2023-11-14T22:13:20.123456Z",
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"kind":"Namespace"}', "not appear to be a protobuf"),
        (b"k8s\x00", "no protobuf decoder"),
        (NAMESPACE[:-3], "unexpected EOF"),
        (body("v1", "Mystery", b""), "no protobuf decoder for Mystery"),
    ],
)
def test_what_is_not_understood_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        protobuf.decode(data)
