"""Lines of htpasswd: whether a password is the one of a user."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading

__all__ = ["UnknownSchemeError", "matches"]

_LIBRARIES = ("libcrypt.so.1", "libcrypt.so.2")
_BCRYPT = ("$2y$", "$2b$", "$2a$")
_LETTERS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ORDER = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5), (11,))
"""Which bytes of an MD5 digest make each group of letters in ``$apr1$``."""
_one_at_a_time = threading.Lock()  # crypt(3) keeps its answer in one place for all threads


class UnknownSchemeError(ValueError):
    """A password is kept in a way that cannot be checked here."""


def matches(password: str, kept: str) -> bool:
    """Tell whether a password is the one kept.

    Args:
        password: As the client sent it.
        kept: What follows the colon in an htpasswd line.

    Raises:
        UnknownSchemeError: It is neither SHA-1, Apache's MD5, nor a bcrypt hash on a machine
            whose C library knows those.
    """
    if kept.startswith("{SHA}"):
        digest = hashlib.sha1(password.encode()).digest()  # noqa: S324 - what the file holds
        made = "{SHA}" + base64.b64encode(digest).decode()
    elif kept.startswith("$apr1$"):
        made = _apr1(password, kept.split("$")[2])
    elif kept.startswith(_BCRYPT):
        made = _crypt(password, kept)
    else:
        raise UnknownSchemeError("neither {SHA}, $apr1$ nor bcrypt")
    return hmac.compare_digest(made.encode(), kept.encode())


def _crypt(password: str, kept: str) -> str:
    """Have the C library make the hash: Python's own has no bcrypt."""
    import ctypes  # noqa: PLC0415 - few have such a password, and everybody would wait for it

    for name in _LIBRARIES:
        try:
            crypt = ctypes.CDLL(name).crypt
        except (OSError, AttributeError):
            continue
        crypt.restype = ctypes.c_char_p
        with _one_at_a_time:
            made = crypt(password.encode(), kept.encode())
        if made and not made.startswith(b"*"):
            return str(made.decode())
    raise UnknownSchemeError("the C library of this machine knows no bcrypt")


def _apr1(password: str, salt: str) -> str:
    """Hash a password as Apache's htpasswd does by default."""
    word, grain = password.encode(), salt.encode()
    mixed = _md5(word + grain + word)
    first = word + b"$apr1$" + grain + (mixed * (len(word) // 16 + 1))[: len(word)]
    length = len(word)
    while length:
        first += b"\0" if length & 1 else word[:1]
        length >>= 1
    digest = _md5(first)
    for turn in range(1000):
        text = word if turn & 1 else digest
        text += grain if turn % 3 else b""
        text += word if turn % 7 else b""
        digest = _md5(text + (digest if turn & 1 else word))
    return f"$apr1${salt}${''.join(_group(digest, places) for places in _ORDER)}"


def _group(digest: bytes, places: tuple[int, ...]) -> str:
    value = int.from_bytes(bytes(digest[place] for place in places), "big")
    count = 4 if len(places) == 3 else 2
    return "".join(_LETTERS[value >> 6 * place & 63] for place in range(count))


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data).digest()  # noqa: S324 - what the file holds
