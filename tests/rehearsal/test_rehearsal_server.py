"""What the API server does with objects, asked over HTTPS."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from email.utils import parsedate_to_datetime

import pytest
from bare import APPLY, CONFIGMAPS, JSON_PATCH, MERGE, PODS, STRATEGIC, Api, config_map, pod

SERVICES = "/api/v1/namespaces/default/services"
NAMESPACES = "/api/v1/namespaces"


def test_answers_carry_the_date(api: Api) -> None:
    date = parsedate_to_datetime(api("GET", "/version").headers["Date"])
    assert abs((datetime.now(date.tzinfo) - date).total_seconds()) < 60


@pytest.mark.parametrize("check", ["healthz", "livez", "readyz"])
def test_health(api: Api, check: str) -> None:
    assert api("GET", f"/{check}", Authorization="").raw == b"ok"
    assert api("GET", f"/{check}/etcd").raw == b"ok"
    assert b"[+]etcd ok" in api("GET", "/readyz?verbose").raw


def test_the_server_creates_what_every_cluster_has(api: Api) -> None:
    kubernetes = api("GET", f"{SERVICES}/kubernetes").body
    assert kubernetes["spec"]["clusterIP"] == "10.43.0.1"
    names = {i["metadata"]["name"] for i in api("GET", NAMESPACES).body["items"]}
    assert names == {"default", "kube-system", "kube-public", "kube-node-lease"}
    available = api("GET", "/apis/apiregistration.k8s.io/v1/apiservices/v1.apps").body["status"]
    assert available["conditions"][0]["status"] == "True"


class TestWrites:
    def test_a_conflicting_put_is_refused_and_a_current_one_is_not(self, api: Api) -> None:
        made = api("POST", CONFIGMAPS, config_map("put", data={"a": "1"})).body
        path = f"{CONFIGMAPS}/put"
        changed = api("PUT", path, {**made, "data": {"a": "2"}})
        assert changed.status == 200
        assert api("PUT", path, {**made, "data": {"a": "3"}}).status == 409
        assert api("GET", path).body["data"] == {"a": "2"}

    def test_a_write_that_changes_nothing_keeps_the_revision(self, api: Api) -> None:
        made = api("POST", CONFIGMAPS, config_map("noop", data={"a": "1"})).body
        again = api("PATCH", f"{CONFIGMAPS}/noop", {"data": {"a": "1"}}, MERGE).body
        assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]

    def test_clients_cannot_change_what_is_the_servers(self, api: Api) -> None:
        made = api("POST", CONFIGMAPS, config_map("own")).body["metadata"]
        wanted = {
            "creationTimestamp": "2001-01-01T00:00:00Z",
            "deletionTimestamp": "2001-01-01T00:00:00Z",
        }
        after = api("PATCH", f"{CONFIGMAPS}/own", {"metadata": wanted}, MERGE).body["metadata"]
        assert after["creationTimestamp"] == made["creationTimestamp"]
        assert "deletionTimestamp" not in after

    def test_another_uid_is_another_object(self, api: Api) -> None:
        api("POST", CONFIGMAPS, config_map("uid"))
        answer = api("PATCH", f"{CONFIGMAPS}/uid", {"metadata": {"uid": "x"}}, MERGE)
        assert answer.status == 409
        assert "UID in precondition: x" in answer.message

    def test_dry_runs_leave_nothing_behind(self, api: Api) -> None:
        api("POST", CONFIGMAPS, config_map("dry", data={"a": "1"}))
        path = f"{CONFIGMAPS}/dry"
        revision = api("GET", CONFIGMAPS).body["metadata"]["resourceVersion"]
        assert api("PATCH", f"{path}?dryRun=All", {"data": {"a": "2"}}, MERGE).body["data"] == {
            "a": "2"
        }
        assert api("DELETE", f"{path}?dryRun=All").status == 200
        assert api("DELETE", path, {"dryRun": ["All"]}).status == 200
        assert api("DELETE", f"{CONFIGMAPS}?dryRun=All").status == 200
        assert api("GET", path).body["data"] == {"a": "1"}
        assert api("GET", CONFIGMAPS).body["metadata"]["resourceVersion"] == revision

    @pytest.mark.parametrize(
        ("query", "field"),
        [("dryRun=Some", "dryRun"), ("fieldValidation=Loose", "fieldValidation")],
    )
    def test_options_with_unknown_values_are_refused(
        self, api: Api, query: str, field: str
    ) -> None:
        answer = api("POST", f"{CONFIGMAPS}?{query}", config_map("never"))
        assert answer.status == 422
        assert answer.body["details"]["causes"][0]["field"] == field
        assert answer.message.startswith('CreateOptions.meta.k8s.io "" is invalid')

    def test_generated_names_are_short_enough(self, api: Api) -> None:
        made = api("POST", CONFIGMAPS, {"metadata": {"generateName": "n" * 80}})
        assert made.status == 201
        assert len(made.body["metadata"]["name"]) == 63

    def test_a_put_creates_some_kinds_only(self, api: Api) -> None:
        lease = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}}
        leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
        assert api("PUT", f"{leases}/l", lease).status == 201
        assert api("PUT", f"{CONFIGMAPS}/never", config_map("never")).status == 404
        assert api("PUT", f"{leases}/l", lease).status == 422, "a lease needs its resourceVersion"

    def test_names_come_from_the_path(self, api: Api) -> None:
        api("POST", CONFIGMAPS, config_map("named"))
        assert api("PUT", f"{CONFIGMAPS}/named", config_map("other")).status == 400
        assert api("PUT", f"{CONFIGMAPS}/named", {"data": {}}).status == 400

    def test_unknown_fields_in_patches(self, api: Api) -> None:
        api("POST", CONFIGMAPS, config_map("fields"))
        path = f"{CONFIGMAPS}/fields"
        warned = api("PATCH", path, {"datta": {}}, MERGE)
        assert warned.headers["Warning"] == '299 - "unknown field \\"datta\\""'
        strict = api("PATCH", f"{path}?fieldValidation=Strict", {"datta": {}}, MERGE)
        assert strict.status == 422
        assert 'strict decoding error: unknown field "datta"' in strict.message
        quiet = api("PATCH", f"{path}?fieldValidation=Ignore", {"datta": {}}, MERGE)
        assert quiet.headers["Warning"] is None

    def test_kinds_of_patches(self, api: Api) -> None:
        api("POST", CONFIGMAPS, config_map("patch", data={"a": "1"}))
        path = f"{CONFIGMAPS}/patch"
        api("PATCH", path, [{"op": "replace", "path": "/data/a", "value": "2"}], JSON_PATCH)
        assert api("PATCH", path, {"data": {"b": "3"}}, STRATEGIC).body["data"] == {
            "a": "2",
            "b": "3",
        }
        assert api("PATCH", path, b"{", MERGE).status == 400
        assert api("PATCH", path, {"a": 1}, "text/plain").status == 415
        assert api("PATCH", f"{path}?force=true", {"data": {}}, MERGE).status == 422

    def test_yaml_bodies(self, api: Api) -> None:
        text = b"metadata: {name: yaml}\ndata: {when: 2026-01-01}\n"
        made = api("POST", CONFIGMAPS, text, "application/yaml")
        assert made.body["data"] == {"when": "2026-01-01"}
        applied = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yaml}\ndata: {b: c}\n"
        answer = api("PATCH", f"{CONFIGMAPS}/yaml?fieldManager=m", applied, APPLY)
        assert answer.body["data"] == {"when": "2026-01-01", "b": "c"}

    def test_media_types_nobody_knows(self, api: Api) -> None:
        answer = api("POST", CONFIGMAPS, b"<a/>", "text/xml")
        assert (answer.status, answer.body["reason"]) == (415, "UnsupportedMediaType")

    def test_an_empty_apply_needs_kind_and_version(self, api: Api) -> None:
        path = f"{CONFIGMAPS}/x?fieldManager=m"
        assert api("PATCH", path, {"metadata": {"name": "x"}}, APPLY).status == 400
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}
        assert api("PATCH", path, secret, APPLY).status == 400


class TestDeletion:
    def test_a_pod_on_a_node_gets_its_grace(self, api: Api) -> None:
        api("POST", PODS, pod("graceful", nodeName="node1"))
        left = api("DELETE", f"{PODS}/graceful").body
        assert left["metadata"]["deletionGracePeriodSeconds"] == 30
        assert left["metadata"]["generation"] == 2
        shorter = api("DELETE", f"{PODS}/graceful?gracePeriodSeconds=5").body
        assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
        assert api("DELETE", f"{PODS}/graceful", {"gracePeriodSeconds": 0}).status == 200
        assert api("GET", f"{PODS}/graceful").status == 404

    def test_a_pod_without_a_node_goes_at_once(self, api: Api) -> None:
        api("POST", PODS, pod("pending"))
        assert api("DELETE", f"{PODS}/pending").body["kind"] == "Pod"
        assert api("GET", f"{PODS}/pending").status == 404

    @pytest.mark.parametrize(
        ("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")]
    )
    def test_propagation_waits_for_its_controller(
        self, api: Api, policy: str, finalizer: str
    ) -> None:
        api("POST", CONFIGMAPS, config_map("owner"))
        path = f"{CONFIGMAPS}/owner"
        left = api("DELETE", path, {"propagationPolicy": policy}).body
        assert left["metadata"]["finalizers"] == [finalizer]
        assert api("PATCH", path, {"metadata": {"finalizers": None}}, MERGE).status == 200
        assert api("GET", path).status == 404

    def test_background_deletion_replaces_an_earlier_choice(self, api: Api) -> None:
        api("POST", CONFIGMAPS, config_map("twice"))
        api("DELETE", f"{CONFIGMAPS}/twice", {"propagationPolicy": "Foreground"})
        api("DELETE", f"{CONFIGMAPS}/twice", {"propagationPolicy": "Background"})
        assert api("GET", f"{CONFIGMAPS}/twice").status == 404

    def test_resource_version_preconditions(self, api: Api) -> None:
        made = api("POST", CONFIGMAPS, config_map("pre")).body["metadata"]
        stale = api("DELETE", f"{CONFIGMAPS}/pre", {"preconditions": {"resourceVersion": "1"}})
        assert stale.status == 409
        current = {
            "preconditions": {"resourceVersion": made["resourceVersion"], "uid": made["uid"]}
        }
        assert api("DELETE", f"{CONFIGMAPS}/pre", current).status == 200

    def test_a_namespace_waits_to_be_finalized(self, api: Api) -> None:
        api("POST", NAMESPACES, {"metadata": {"name": "going"}})
        left = api("DELETE", f"{NAMESPACES}/going").body
        assert left["status"]["phase"] == "Terminating"
        late = api("POST", f"{NAMESPACES}/going/configmaps", config_map("late"))
        assert late.body["details"]["causes"][0]["reason"] == "NamespaceTerminating"
        left["spec"]["finalizers"] = []
        assert api("PUT", f"{NAMESPACES}/going/finalize", left).status == 200
        assert api("GET", f"{NAMESPACES}/going").status == 404

    def test_the_cluster_cannot_lose_its_own_namespaces(self, api: Api) -> None:
        answer = api("DELETE", f"{NAMESPACES}/kube-system")
        assert answer.status == 403
        assert "this namespace may not be deleted" in answer.message

    def test_namespaces_are_not_deleted_together(self, api: Api) -> None:
        assert api("DELETE", NAMESPACES).status == 405


class TestReads:
    def test_pages_are_of_one_moment(self, api: Api) -> None:
        for number in range(5):
            api("POST", CONFIGMAPS, config_map(f"page-{number}", metadata={"labels": {"p": "1"}}))
        first = api("GET", f"{CONFIGMAPS}?limit=2&labelSelector=p%3D1").body
        api("DELETE", f"{CONFIGMAPS}/page-3")
        token = first["metadata"]["continue"]
        names = [i["metadata"]["name"] for i in first["items"]]
        while token:
            page = api("GET", f"{CONFIGMAPS}?limit=2&labelSelector=p%3D1&continue={token}").body
            assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
            names += [i["metadata"]["name"] for i in page["items"]]
            token = page["metadata"].get("continue")
        assert names == [f"page-{number}" for number in range(5)]
        assert "remainingItemCount" not in first["metadata"], "unknown with a selector"

    def test_an_expired_page_offers_to_go_on(self, api: Api) -> None:
        for number in range(3):
            api("POST", CONFIGMAPS, config_map(f"old-{number}"))
        token = api("GET", f"{CONFIGMAPS}?limit=1").body["metadata"]["continue"]
        api("POST", CONFIGMAPS, config_map("old-last"))
        api.twin.api.store.compact()
        answer = api("GET", f"{CONFIGMAPS}?limit=1&continue={token}")
        assert (answer.status, answer.body["reason"]) == (410, "Expired")
        again = answer.body["metadata"]["continue"]
        assert api("GET", f"{CONFIGMAPS}?continue={again}").status == 200

    def test_lists_of_an_exact_moment(self, api: Api) -> None:
        then = api("GET", CONFIGMAPS).body["metadata"]["resourceVersion"]
        api("POST", CONFIGMAPS, config_map("after"))
        query = f"resourceVersion={then}&resourceVersionMatch=Exact"
        names = [i["metadata"]["name"] for i in api("GET", f"{CONFIGMAPS}?{query}").body["items"]]
        assert "after" not in names
        gone = api("GET", f"{CONFIGMAPS}?resourceVersion=1&resourceVersionMatch=Exact")
        assert gone.status == 410

    def test_tables_carry_what_is_asked_for(self, api: Api) -> None:
        api("POST", CONFIGMAPS, config_map("table", data={"a": "1"}))
        accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
        path = f"{CONFIGMAPS}/table"
        whole = api("GET", f"{path}?includeObject=Object", Accept=accept).body["rows"][0]
        assert whole["object"]["data"] == {"a": "1"}
        none = api("GET", f"{path}?includeObject=None", Accept=accept).body["rows"][0]
        assert "object" not in none
        assert none["cells"][:2] == ["table", 1]

    def test_one_object_as_metadata_only(self, api: Api) -> None:
        accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
        found = api("GET", f"{NAMESPACES}/default", Accept=accept).body
        assert found["kind"] == "PartialObjectMetadata"
        assert set(found) == {"kind", "apiVersion", "metadata"}

    def test_both_versions_of_an_event(self, api: Api) -> None:
        event = {
            "metadata": {"name": "e"},
            "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
            "reason": "Started",
            "type": "Normal",
        }
        assert api("POST", "/api/v1/namespaces/default/events", event).status == 201
        listed = api("GET", "/apis/events.k8s.io/v1/namespaces/default/events").body
        assert listed["apiVersion"] == "events.k8s.io/v1"
        assert [i["metadata"]["name"] for i in listed["items"]] == ["e"]

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
    def test_names_need_their_namespace(self, api: Api, method: str) -> None:
        body = config_map("x") if method == "PUT" else None
        assert api(method, "/api/v1/configmaps/x", body).status == 404
        assert api("GET", "/api/v1/namespaces/default/nodes").status == 404

    def test_methods_that_do_not_fit(self, api: Api) -> None:
        assert api("PUT", CONFIGMAPS, config_map("x")).status == 405
        assert api("POST", "/api/v1/configmaps", config_map("x")).status == 405


class TestServices:
    def test_addresses_are_allocated_and_kept(self, api: Api) -> None:
        spec = {"ports": [{"port": 80}], "selector": {"app": "x"}}
        made = api("POST", SERVICES, {"metadata": {"name": "s"}, "spec": spec}).body["spec"]
        assert made["clusterIP"].startswith("10.43.")
        assert made["clusterIPs"] == [made["clusterIP"]]
        assert (made["ipFamilies"], made["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
        put = api("PUT", f"{SERVICES}/s", {"metadata": {"name": "s"}, "spec": spec})
        assert put.body["spec"]["clusterIP"] == made["clusterIP"]

    def test_headless_and_external_services_have_none(self, api: Api) -> None:
        headless = {"clusterIP": "None", "ports": [{"port": 80}], "selector": {"a": "b"}}
        made = api("POST", SERVICES, {"metadata": {"name": "h"}, "spec": headless}).body["spec"]
        assert made["clusterIP"] == "None"
        external = {"type": "ExternalName", "externalName": "e.org"}
        made = api("POST", SERVICES, {"metadata": {"name": "e"}, "spec": external}).body["spec"]
        assert "clusterIP" not in made

    def test_a_wanted_address_must_be_free_and_of_the_cluster(self, api: Api) -> None:
        for address, why in (
            ("10.43.0.1", "provided IP is already allocated"),
            ("192.0.2.1", "not in the valid range"),
        ):
            spec = {"clusterIP": address, "ports": [{"port": 80}]}
            answer = api("POST", SERVICES, {"metadata": {"name": "w"}, "spec": spec})
            assert answer.status == 422
            assert why in answer.message

    def test_node_ports_are_allocated_and_kept(self, api: Api) -> None:
        spec = {"type": "NodePort", "ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]}
        made = api("POST", SERVICES, {"metadata": {"name": "np"}, "spec": spec}).body["spec"]
        ports = [p["nodePort"] for p in made["ports"]]
        assert len(set(ports)) == 2
        assert all(30000 <= port < 32768 for port in ports)
        put = api("PUT", f"{SERVICES}/np", {"metadata": {"name": "np"}, "spec": spec}).body["spec"]
        assert [p["nodePort"] for p in put["ports"]] == ports


class TestPods:
    def test_the_server_completes_a_pod(self, api: Api) -> None:
        made = api("POST", PODS, pod("complete")).body
        spec = made["spec"]
        assert spec["serviceAccountName"] == "default"
        mount = spec["containers"][0]["volumeMounts"][0]
        assert mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
        assert mount["name"] == spec["volumes"][0]["name"]
        assert [t["tolerationSeconds"] for t in spec["tolerations"]] == [300, 300]
        assert (spec["priority"], made["status"]["qosClass"]) == (0, "BestEffort")

    def test_a_pod_can_do_without_its_token(self, api: Api) -> None:
        made = api("POST", PODS, pod("tokenless", automountServiceAccountToken=False)).body
        assert "volumes" not in made["spec"]

    def test_priority_classes(self, api: Api) -> None:
        made = api("POST", PODS, pod("critical", priorityClassName="system-node-critical")).body
        assert made["spec"]["priority"] == 2_000_001_000
        answer = api("POST", PODS, pod("never", priorityClassName="nope"))
        assert (answer.status, "no PriorityClass" in answer.message) == (403, True)

    def test_the_service_account_must_exist(self, api: Api) -> None:
        answer = api("POST", PODS, pod("orphan", serviceAccountName="nobody"))
        assert answer.status == 403
        assert (
            'error looking up service account default/nobody: serviceaccount "nobody" not found'
            in answer.message
        )

    @pytest.mark.parametrize(
        ("resources", "quality"),
        [
            ({}, "BestEffort"),
            ({"requests": {"cpu": "1"}}, "Burstable"),
            ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
            ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}, "Burstable"),
        ],
    )
    def test_quality_of_service(self, api: Api, resources: dict, quality: str) -> None:
        containers = [{"name": "c", "image": "x", "resources": resources}]
        body = {"metadata": {"generateName": "q-"}, "spec": {"containers": containers}}
        assert api("POST", PODS, body).body["status"]["qosClass"] == quality


def test_openapi_names_the_parameters_clients_look_for(api: Api) -> None:
    index = api("GET", "/openapi/v3").body["paths"]
    url = index["apis/apps/v1"]["serverRelativeURL"]
    answer = api("GET", url)
    assert "immutable" in answer.headers["Cache-Control"]
    again = api("GET", url, **{"If-None-Match": answer.headers["Etag"]})
    assert (again.status, again.raw) == (304, b"")
    path = answer.body["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert "fieldValidation" in {p["name"] for p in path["parameters"]}
    assert path["x-kubernetes-group-version-kind"]["kind"] == "Deployment"
    assert "application/strategic-merge-patch+json" in path["requestBody"]["content"]
    schemas = answer.body["components"]["schemas"]
    text = json.dumps(schemas)
    wanted = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert wanted <= set(schemas), "every reference leads somewhere"
    assert api("GET", "/openapi/v3/apis/nope/v1").status == 404


def test_secrets_are_stored_as_base64(api: Api) -> None:
    secrets = "/api/v1/namespaces/default/secrets"
    made = api("POST", secrets, {"metadata": {"name": "s"}, "stringData": {"k": "v"}}).body
    assert base64.b64decode(made["data"]["k"]) == b"v"
    assert "stringData" not in made


class TestOddRequests:
    def test_fields_that_come_twice(self, api: Api) -> None:
        body = b'{"metadata": {"name": "twice"}, "data": {"a": "1", "a": "2"}}'
        made = api("POST", CONFIGMAPS, body)
        assert made.body["data"] == {"a": "2"}
        assert made.headers["Warning"] == '299 - "duplicate field \\"data.a\\""'
        strict = api("POST", f"{CONFIGMAPS}?fieldValidation=Strict", body)
        assert strict.message.endswith('strict decoding error: duplicate field "data.a"')

    @pytest.mark.parametrize(
        ("query", "status", "message"),
        [
            ("resourceVersionMatch=Exact", 422, "forbidden unless resourceVersion is provided"),
            ("continue=x&resourceVersion=5", 400, "not allowed when using continue"),
            ("resourceVersion=abc", 400, 'parsing "abc": invalid syntax'),
            ("resourceVersion=99999999", 504, "Too large resource version: 99999999"),
            ("limit=many", 400, 'parsing "many": invalid syntax'),
        ],
    )
    def test_list_options(self, api: Api, query: str, status: int, message: str) -> None:
        answer = api("GET", f"{CONFIGMAPS}?{query}")
        assert answer.status == status
        assert message in answer.message

    def test_unknown_propagation(self, api: Api) -> None:
        api("POST", CONFIGMAPS, config_map("prop"))
        answer = api("DELETE", f"{CONFIGMAPS}/prop", {"propagationPolicy": "Sideways"})
        assert answer.status == 422
        assert 'Unsupported value: "Sideways"' in answer.message

    def test_deprecated_kinds_warn(self, api: Api) -> None:
        answer = api("GET", "/api/v1/namespaces/default/endpoints")
        assert answer.headers["Warning"] == (
            '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'
        )

    def test_bodies_that_are_no_objects(self, api: Api) -> None:
        for body in (b"[]", b'"text"', b"", b"{", b'{"a" 1}'):
            assert api("POST", CONFIGMAPS, body).status == 400, body

    def test_a_protobuf_deletion(self, api: Api) -> None:
        api("POST", PODS, pod("proto", nodeName="node1"))
        # k8s magic, then TypeMeta(v1, DeleteOptions) and gracePeriodSeconds=0
        meta = b"\x0a\x02v1\x12\x0dDeleteOptions"
        body = b"k8s\x00\x0a" + bytes([len(meta)]) + meta + b"\x12\x02\x08\x00"
        assert (
            api("DELETE", f"{PODS}/proto", body, "application/vnd.kubernetes.protobuf").status
            == 200
        )
        assert api("GET", f"{PODS}/proto").status == 404
