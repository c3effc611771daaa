"""Who a request comes from: bearer tokens, service-account tokens, impersonation."""

from __future__ import annotations

import base64
import datetime
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from runbook.rehearsal.apiserver.requests import Request, User
from runbook.rehearsal.apiserver.statuses import bad_request, unauthorized
from runbook.rehearsal.apiserver.store import Object, Store

__all__ = ["ADMIN", "ANONYMOUS", "Identities", "service_account"]

ADMIN = User("system:admin", ("system:masters", "system:authenticated"))
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
AUDIENCE = "https://kubernetes.default.svc.cluster.local"
_COORDINATE = 32


def service_account(namespace: str, name: str, uid: str = "") -> User:
    """Give the user a service account is."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return User(f"system:serviceaccount:{namespace}:{name}", (*groups, "system:authenticated"), uid)


class Identities:
    """Knows the administrator's token and signs and checks those of service accounts.

    Args:
        store: Where service accounts are looked up.
        token: The administrator's bearer token.
        key: Signs service-account tokens (ES256).
    """

    def __init__(self, store: Store, token: str, key: ec.EllipticCurvePrivateKey) -> None:
        self._store = store
        self._token = token
        self._key = key
        self._checked: dict[str, tuple[float, User]] = {}

    @property
    def audience(self) -> str:
        """Give the audience of tokens that ask for none: the API server."""
        return AUDIENCE

    def identify(self, request: Request) -> User:
        """Tell who asks, honouring impersonation headers.

        Raises:
            Refusal: 401 for credentials nobody issued.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not scheme:
            return ANONYMOUS
        user = self.of_token(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise unauthorized()
        return user

    def impersonated(self, request: Request) -> User | None:
        """Give the user the headers ask to be, or None."""
        name = request.headers.get("impersonate-user", "")
        wanted = _list(request.headers.get("impersonate-group", ""))
        if not name:
            if wanted:
                raise bad_request("requested impersonating groups without impersonating a user")
            return None
        if name.startswith("system:serviceaccount:") and name.count(":") == 3:
            _, _, namespace, account = name.split(":")
            default = service_account(namespace, account).groups
            return User(name, wanted or default)
        if name == ANONYMOUS.name:
            return ANONYMOUS
        groups = (*wanted, *(() if "system:authenticated" in wanted else ("system:authenticated",)))
        return User(name, groups, request.headers.get("impersonate-uid", ""))

    def of_token(self, token: str) -> User | None:
        """Give the user a bearer token belongs to, or None."""
        if secrets.compare_digest(token.encode(), self._token.encode()):
            return ADMIN
        known = self._checked.get(token)
        if known is not None and known[0] > time.time():
            return known[1]
        claims = self._claims(token)
        if claims is None:
            return None
        user = self._account(claims)
        if user is not None:
            if len(self._checked) > 1000:
                self._checked.clear()
            self._checked[token] = (min(claims["exp"], time.time() + 10), user)
        return user

    def issue(
        self,
        account: Object,
        audiences: tuple[str, ...],
        seconds: int,
        bound_to: Mapping[str, Any] | None,
    ) -> tuple[str, datetime.datetime]:
        """Sign a token for a service account.

        Returns:
            The token and when it expires.
        """
        metadata = account["metadata"]
        now = int(time.time())
        bound: dict[str, Any] = {
            "namespace": metadata["namespace"],
            "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
        }
        if bound_to and bound_to.get("kind") == "Pod":
            bound["pod"] = {"name": bound_to["name"], "uid": bound_to.get("uid", "")}
        claims = {
            "aud": list(audiences) or [AUDIENCE],
            "exp": now + seconds,
            "iat": now,
            "nbf": now,
            "iss": AUDIENCE,
            "kubernetes.io": bound,
            "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
        }
        head = _encode(json.dumps({"alg": "ES256", "kid": "rehearsal", "typ": "JWT"}).encode())
        signed = f"{head}.{_encode(json.dumps(claims).encode())}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        raw = r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big")
        expires = datetime.datetime.fromtimestamp(now + seconds, datetime.UTC)
        return f"{signed}.{_encode(raw)}", expires

    def issuer(self) -> dict[str, Any]:
        """Give the OpenID document of the issuer of service-account tokens."""
        return {
            "issuer": AUDIENCE,
            "jwks_uri": f"{AUDIENCE}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }

    def keys(self) -> dict[str, Any]:
        """Give the public key tokens are verified with, as a JSON Web Key Set."""
        numbers = self._key.public_key().public_numbers()
        x, y = (_encode(n.to_bytes(_COORDINATE, "big")) for n in (numbers.x, numbers.y))
        key = {"use": "sig", "kty": "EC", "kid": "rehearsal", "crv": "P-256", "alg": "ES256"}
        return {"keys": [{**key, "x": x, "y": y}]}

    def _claims(self, token: str) -> dict[str, Any] | None:
        try:
            signed, _, signature = token.rpartition(".")
            raw = _decode(signature)
            der = encode_dss_signature(
                int.from_bytes(raw[:_COORDINATE], "big"), int.from_bytes(raw[_COORDINATE:], "big")
            )
            self._key.public_key().verify(der, signed.encode(), ec.ECDSA(hashes.SHA256()))
            claims = json.loads(_decode(signed.partition(".")[2]))
        except (InvalidSignature, ValueError):
            return None
        return claims if claims.get("exp", 0) > time.time() else None

    def _account(self, claims: Mapping[str, Any]) -> User | None:
        bound = claims.get("kubernetes.io") or {}
        namespace = bound.get("namespace", "")
        named = bound.get("serviceaccount") or {}
        found = self._store.get(("", "serviceaccounts"), namespace, named.get("name", ""))
        if found is None or found["metadata"]["uid"] != named.get("uid"):
            return None
        return service_account(namespace, named["name"], named["uid"])


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
