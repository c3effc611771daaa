"""Admission webhooks: calling those that are configured, over HTTPS, as a real server does."""

from __future__ import annotations

import base64
import json
import ssl
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from runbook.rehearsal.apiserver.reads import present
from runbook.rehearsal.apiserver.registry import Registry
from runbook.rehearsal.apiserver.requests import User
from runbook.rehearsal.apiserver.resources import Resource
from runbook.rehearsal.apiserver.selectors import matches_labels
from runbook.rehearsal.apiserver.services import NoEndpointError, NoServiceError, Services
from runbook.rehearsal.apiserver.statuses import Refusal, bad_request, internal
from runbook.rehearsal.apiserver.store import Object, Store
from runbook.rehearsal.objects.merge import PatchFailed, json_patch

__all__ = ["Review", "Webhooks"]

_GROUP = "admissionregistration.k8s.io"
_MUTATING = (_GROUP, "mutatingwebhookconfigurations")
_VALIDATING = (_GROUP, "validatingwebhookconfigurations")
Hook = Mapping[str, Any]


@dataclass
class Review:
    """What webhooks are asked about."""

    resource: Resource
    subresource: str
    operation: str
    namespace: str
    name: str
    user: User
    obj: Object | None
    old: Object | None
    dry_run: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class _CallError(Exception):
    """A webhook could not be asked."""


class Webhooks:
    """Calls the configured webhooks.

    Args:
        store: Configurations and namespaces.
        registry: Finds equivalent resources for ``matchPolicy: Equivalent``.
        services: Resolves ``clientConfig.service``.
    """

    def __init__(self, store: Store, registry: Registry, services: Services) -> None:
        self._store = store
        self._registry = registry
        self._services = services

    async def mutate(self, review: Review) -> Object | None:
        """Ask the mutating webhooks one after another and give the object they leave.

        Raises:
            Refusal: One denies the request, or fails and its policy is ``Fail``.
        """
        for hook in self._hooks(_MUTATING):
            matched = self._match(hook, review)
            if matched is None:
                continue
            answer = await self._ask(hook, review, matched)
            if answer is None or not answer.get("patch"):
                continue
            review.obj = _patched(hook, review.obj or {}, answer)
        return review.obj

    async def validate(self, review: Review) -> None:
        """Ask the validating webhooks.

        Raises:
            Refusal: One denies the request, or fails and its policy is ``Fail``.
        """
        for hook in self._hooks(_VALIDATING):
            matched = self._match(hook, review)
            if matched is not None:
                await self._ask(hook, review, matched)

    def _hooks(self, table: tuple[str, str]) -> Iterator[Hook]:
        for configuration in self._store.list(table):
            yield from configuration.get("webhooks") or ()

    def _match(self, hook: Hook, review: Review) -> Resource | None:
        """Give the resource by which a webhook wants to know of a request, or None."""
        if review.resource.group == _GROUP:
            return None
        same = [review.resource]
        if hook.get("matchPolicy", "Equivalent") == "Equivalent":
            same += [r for r in self._registry.all() if r.key == review.resource.key]
        matched = next(
            (r for r in same for rule in hook.get("rules") or () if _rule(rule, r, review)), None
        )
        if matched is None or not self._in_namespace(hook, review):
            return None
        selector = hook.get("objectSelector")
        if selector:
            candidates = [o for o in (review.obj, review.old) if o is not None]
            if not any(matches_labels(selector, _labels(o)) for o in candidates):
                return None
        return matched

    def _in_namespace(self, hook: Hook, review: Review) -> bool:
        selector = hook.get("namespaceSelector")
        if not selector:
            return True
        if review.resource.key == ("", "namespaces"):
            return matches_labels(selector, _labels(review.obj or review.old or {}))
        if not review.resource.namespaced:
            return True
        namespace = self._store.get(("", "namespaces"), "", review.namespace)
        return namespace is not None and matches_labels(selector, _labels(namespace))

    async def _ask(self, hook: Hook, review: Review, matched: Resource) -> dict[str, Any] | None:
        """Call one webhook; gives its response, or None if it failed and may be ignored."""
        name = hook["name"]
        if review.dry_run and hook.get("sideEffects") not in ("None", "NoneOnDryRun"):
            raise bad_request(f'admission webhook "{name}" does not support dry run')
        request = _request(review, matched)
        try:
            answer = await self._call(hook, request)
        except _CallError as error:
            if hook.get("failurePolicy", "Fail") == "Ignore":
                return None
            message = f'failed calling webhook "{name}": failed to call webhook: {error}'
            raise internal(message) from None
        review.warnings += answer.get("warnings") or ()
        if not answer.get("allowed"):
            raise _denied(name, answer.get("status") or {})
        return answer

    async def _call(self, hook: Hook, request: dict[str, Any]) -> dict[str, Any]:
        config = hook["clientConfig"]
        timeout = hook.get("timeoutSeconds", 10)
        url, address, server_name = self._address(config, timeout)
        body = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}
        try:
            raw = await _post(url, address, config.get("caBundle"), body, timeout)
        except HTTPClientError as error:
            raise _CallError(_http_failure(url, error)) from None
        except ssl.SSLError as error:
            raise _CallError(f'Post "{url}": {_tls_failure(error, server_name)}') from None
        except OSError as error:
            raise _CallError(f'Post "{url}": dial tcp {_dial(address, error)}') from None
        return _checked(raw, request["uid"])

    def _address(self, config: Mapping[str, Any], timeout: int) -> tuple[str, tuple[str, int], str]:
        """Give the URL, where it really is, and the name its certificate must have."""
        service = config.get("service")
        if not service:
            url = f"{config['url']}{'&' if '?' in config['url'] else '?'}timeout={timeout}s"
            parts = urlsplit(url)
            host = parts.hostname or ""
            return url, (host, parts.port or 443), host
        port = service.get("port", 443)
        host = f"{service['name']}.{service['namespace']}.svc"
        path = service.get("path") or "/"
        url = f"https://{host}:{port}{path}?timeout={timeout}s"
        try:
            address = self._services.resolve(service["namespace"], service["name"], port)
        except (NoServiceError, NoEndpointError) as error:
            raise _CallError(f'Post "{url}": {error}') from None
        return url, address, host


def _rule(rule: Mapping[str, Any], resource: Resource, review: Review) -> bool:
    operations = rule.get("operations") or ()
    if "*" not in operations and review.operation not in operations:
        return False
    if not _in(rule.get("apiGroups"), resource.group):
        return False
    if not _in(rule.get("apiVersions"), resource.version):
        return False
    scope = rule.get("scope", "*")
    if scope != "*" and (scope == "Namespaced") is not resource.namespaced:
        return False
    names = set(rule.get("resources") or ())
    if not review.subresource:
        return bool(names & {"*", "*/*", resource.plural})
    sub = review.subresource
    return bool(names & {"*/*", f"*/{sub}", f"{resource.plural}/*", f"{resource.plural}/{sub}"})


def _in(values: list[str] | None, wanted: str) -> bool:
    return "*" in (values or ()) or wanted in (values or ())


def _labels(obj: Object) -> dict[str, str]:
    return (obj.get("metadata") or {}).get("labels") or {}


def _request(review: Review, matched: Resource) -> dict[str, Any]:
    """Write the request of an AdmissionReview."""
    asked = review.resource
    found: dict[str, Any] = {
        "uid": str(uuid.uuid4()),
        "kind": {"group": matched.group, "version": matched.version, "kind": matched.kind},
        "resource": {
            "group": matched.group,
            "version": matched.version,
            "resource": matched.plural,
        },
        "requestKind": {"group": asked.group, "version": asked.version, "kind": asked.kind},
        "requestResource": {
            "group": asked.group,
            "version": asked.version,
            "resource": asked.plural,
        },
        "name": review.name,
        "operation": review.operation,
        "userInfo": {"username": review.user.name, "groups": list(review.user.groups)},
        "object": present(matched, review.obj) if review.obj is not None else None,
        "oldObject": present(matched, review.old) if review.old is not None else None,
        "dryRun": review.dry_run,
        "options": dict(review.options),
    }
    if review.resource.namespaced:
        found["namespace"] = review.namespace
    elif asked.key == ("", "namespaces"):
        found["namespace"] = review.name
    if review.subresource:
        found["subResource"] = found["requestSubResource"] = review.subresource
    return found


async def _post(
    url: str, address: tuple[str, int], bundle: str | None, body: Any, timeout: int
) -> bytes:
    """Post a review to where the URL's host really listens, verifying its certificate."""
    parts = urlsplit(url)
    client = SimpleAsyncHTTPClient(
        force_instance=True,
        hostname_mapping={(parts.hostname, parts.port or 443): address},
    )
    context = ssl.create_default_context()
    if bundle:
        context = ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
    try:
        response = await client.fetch(
            HTTPRequest(
                url,
                "POST",
                {"Content-Type": "application/json", "Accept": "application/json"},
                json.dumps(body).encode(),
                connect_timeout=timeout,
                request_timeout=timeout,
                ssl_options=context,
            )
        )
    finally:
        client.close()
    return bytes(response.body)


def _checked(raw: bytes, uid: str) -> dict[str, Any]:
    try:
        answer = json.loads(raw).get("response")
    except (ValueError, AttributeError):
        raise _CallError("expected webhook response of admission.k8s.io/v1") from None
    if not isinstance(answer, dict):
        raise _CallError("Webhook response was absent")
    if answer.get("uid") != uid:
        raise _CallError(f'expected response.uid="{uid}", got "{answer.get("uid", "")}"')
    return answer


def _patched(hook: Hook, obj: Object, answer: Mapping[str, Any]) -> Object:
    """Apply a webhook's JSON patch."""
    name = hook["name"]
    if answer.get("patchType") != "JSONPatch":
        raise internal(f'admission webhook "{name}": unsupported patch type')
    try:
        return json_patch(obj, json.loads(base64.b64decode(answer["patch"])))
    except (PatchFailed, ValueError) as error:
        raise internal(f"{error}") from None


def _denied(name: str, status: Mapping[str, Any]) -> Refusal:
    """Word a webhook's denial as the server does; never with a code of success."""
    by = f'admission webhook "{name}" denied the request'
    message, reason = status.get("message"), status.get("reason", "")
    text = f"{by}: {message or reason}" if message or reason else f"{by} without explanation"
    code = int(status.get("code") or 0)
    if code < 400:
        code, reason = 400, reason or "BadRequest"
    return Refusal(code, text, reason, status.get("details"))


def _http_failure(url: str, error: HTTPClientError) -> str:
    if error.code == 599:
        cause = error.__cause__ or error
        if isinstance(cause, ssl.SSLError):
            return f'Post "{url}": {_tls_failure(cause, urlsplit(url).hostname or "")}'
        return f'Post "{url}": context deadline exceeded'
    if error.code == 404:
        return "the server could not find the requested resource"
    return "an error on the server has prevented the request from succeeding"


def _tls_failure(error: ssl.SSLError, name: str) -> str:
    prefix = "tls: failed to verify certificate: x509: "
    text = str(getattr(error, "verify_message", "") or error)
    if "expired" in text:
        return f"{prefix}certificate has expired or is not yet valid"
    if "ostname mismatch" in text:
        return f"{prefix}certificate is not valid for {name}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{prefix}certificate signed by unknown authority"
    return f"tls: {error.reason or text}"


def _dial(address: tuple[str, int], error: OSError) -> str:
    refused = isinstance(error, ConnectionRefusedError)
    what = "connect: connection refused" if refused else f"connect: {error.strerror or error}"
    return f"{address[0]}:{address[1]}: {what}"
