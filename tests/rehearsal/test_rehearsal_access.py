"""Who is asking, and what may they do."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from bare import CONFIGMAPS, Api, config_map

RBAC = "/apis/rbac.authorization.k8s.io/v1"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"


def grant(api: Api, name: str, rules: list[dict[str, Any]], subject: dict[str, str]) -> None:
    """Give a role in the default namespace to somebody."""
    space = f"{RBAC}/namespaces/default"
    role = {"metadata": {"name": name}, "rules": rules}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    assert api("POST", f"{space}/roles", role).status == 201
    assert api("POST", f"{space}/rolebindings", binding).status == 201


def user(name: str) -> dict[str, str]:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}


def asks(api: Api, who: str, verb: str, resource: str, **more: str) -> bool:
    attributes = {"verb": verb, "resource": resource, "namespace": "default", **more}
    review = {"spec": {"resourceAttributes": attributes}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    return bool(api("POST", path, review, Impersonate_User=who).body["status"]["allowed"])


def test_roles_allow_what_they_say_and_no_more(api: Api) -> None:
    rules = [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
        {"apiGroups": ["apps"], "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["one"]},
    ]
    grant(api, "reader", rules, user("jane"))
    assert asks(api, "jane", "get", "configmaps")
    assert not asks(api, "jane", "create", "configmaps")
    assert not asks(api, "jane", "get", "configmaps", namespace="kube-system")
    assert asks(api, "jane", "get", "pods", subresource="log")
    assert not asks(api, "jane", "get", "pods")
    assert asks(api, "jane", "delete", "deployments", group="apps", subresource="scale")
    assert asks(api, "jane", "get", "secrets", name="one")
    assert not asks(api, "jane", "get", "secrets", name="two")
    assert not asks(api, "joe", "get", "configmaps")


def test_requests_are_allowed_or_refused_by_the_same_rules(api: Api) -> None:
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch"]}]
    grant(api, "patcher", rules, user("pat"))
    api("POST", CONFIGMAPS, config_map("guarded"))
    path = f"{CONFIGMAPS}/guarded"
    assert api("GET", path, Impersonate_User="pat").status == 200
    refused = api("DELETE", path, Impersonate_User="pat")
    assert refused.status == 403
    assert refused.message == (
        'configmaps "guarded" is forbidden: User "pat" cannot delete resource "configmaps" in API '
        'group "" in the namespace "default"'
    )
    assert refused.body["details"] == {"name": "guarded", "kind": "configmaps"}


def test_groups_and_cluster_roles(api: Api) -> None:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    group = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "viewers"}
    binding = {"metadata": {"name": "viewers"}, "roleRef": reference, "subjects": [group]}
    assert api("POST", f"{RBAC}/clusterrolebindings", binding).status == 201
    headers = {"Impersonate_User": "vera", "Impersonate_Group": "viewers"}
    assert api("GET", "/api/v1/pods", **headers).status == 200
    assert api("GET", "/api/v1/secrets", **headers).status == 403, "view shows no secrets"


def test_aggregated_roles_take_what_is_labelled_for_them(api: Api) -> None:
    label = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    rules = [{"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["list"]}]
    role = {"metadata": {"name": "widgets", "labels": label}, "rules": rules}
    assert api("POST", f"{RBAC}/clusterroles", role).status == 201
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    binding = {"metadata": {"name": "w"}, "roleRef": reference, "subjects": [user("will")]}
    assert api("POST", f"{RBAC}/namespaces/default/rolebindings", binding).status == 201
    assert asks(api, "will", "list", "widgets", group="example.com")


def test_only_those_who_may_impersonate_can(api: Api) -> None:
    token = service_account_token(api, "plain")
    headers = {"Authorization": f"Bearer {token}", "Impersonate_User": "system:admin"}
    answer = api("GET", CONFIGMAPS, **headers)
    assert answer.status == 403
    assert 'cannot impersonate resource "users"' in answer.message
    assert api("GET", CONFIGMAPS, Impersonate_Group="x").status == 400


def service_account_token(api: Api, name: str, **spec: Any) -> str:
    api("POST", ACCOUNTS, {"metadata": {"name": name}})
    path = f"{ACCOUNTS}/{name}/token"
    answer = api("POST", path, {"spec": spec})
    assert answer.status == 201
    return str(answer.body["status"]["token"])


def test_service_accounts_have_tokens(api: Api) -> None:
    token = service_account_token(api, "robot", audiences=["me"], expirationSeconds=600)
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["sub"] == "system:serviceaccount:default:robot"
    assert (claims["aud"], claims["exp"] - claims["iat"]) == (["me"], 600)
    who = api(
        "POST",
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        {},
        Authorization=f"Bearer {token}",
    )
    assert who.body["status"]["userInfo"]["username"] == "system:serviceaccount:default:robot"
    assert "system:serviceaccounts:default" in who.body["status"]["userInfo"]["groups"]
    assert api("GET", CONFIGMAPS, Authorization=f"Bearer {token}").status == 403
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
    grant(api, "robots", rules, {"kind": "ServiceAccount", "name": "robot", "namespace": "default"})
    assert api("GET", CONFIGMAPS, Authorization=f"Bearer {token}").status == 200


def test_a_token_ends_with_its_account(api: Api) -> None:
    token = service_account_token(api, "fired")
    api("DELETE", f"{ACCOUNTS}/fired")
    assert api("GET", "/version", Authorization=f"Bearer {token}").status == 401


@pytest.mark.parametrize("header", ["Bearer x.y.z", "Bearer nobody", "Basic YTpi"])
def test_credentials_nobody_issued(api: Api, header: str) -> None:
    assert api("GET", "/version", Authorization=header).status == 401


def test_token_reviews(api: Api) -> None:
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    good = api("POST", path, {"spec": {"token": service_account_token(api, "seen")}}).body
    assert good["status"]["authenticated"] is True
    assert good["status"]["user"]["username"] == "system:serviceaccount:default:seen"
    bad = api("POST", path, {"spec": {"token": "x"}}).body
    assert bad["status"].get("authenticated") is None


def test_anonymous_may_ask_for_the_version_only(api: Api) -> None:
    assert api("GET", "/version", Authorization="").status == 200
    refused = api("GET", "/apis", Authorization="")
    assert refused.status == 403
    assert refused.message == 'forbidden: User "system:anonymous" cannot get path "/apis"'
    assert api("GET", "/apis", Impersonate_User="anyone").status == 200, (
        "discovery is for all users"
    )


def test_reviews_of_others(api: Api) -> None:
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    attributes = {"verb": "get", "resource": "pods"}
    admin = {"user": "x", "groups": ["system:masters"], "resourceAttributes": attributes}
    assert api("POST", path, {"spec": admin}).body["status"] == {"allowed": True}
    other = {"user": "x", "nonResourceAttributes": {"verb": "get", "path": "/healthz"}}
    assert api("POST", path, {"spec": other}).body["status"] == {"allowed": False}
    assert api("POST", path, {"spec": {"user": "x"}}).status == 422


def test_rules_reviews(api: Api) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    status = api("POST", path, {"spec": {"namespace": "default"}}).body["status"]
    assert status["resourceRules"] == [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
    nobody = api("POST", path, {"spec": {"namespace": "default"}}, Impersonate_User="nobody")
    urls = {u for r in nobody.body["status"]["nonResourceRules"] for u in r["nonResourceURLs"]}
    assert "/version" in urls


def test_tokens_can_be_verified_with_the_published_key(api: Api) -> None:
    issuer = api("GET", "/.well-known/openid-configuration").body["issuer"]
    key = api("GET", "/openid/v1/jwks").body["keys"][0]
    token = service_account_token(api, "checked")
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["iss"] == issuer
    head = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    assert (head["kid"], head["alg"]) == (key["kid"], key["alg"])
