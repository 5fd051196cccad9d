"""URLs and paths on storage: telling URLs from local paths, and joining names without leaving a folder."""

from __future__ import annotations

import os
import re
from urllib.parse import parse_qsl, unquote

from onlineml.errors import URLS, DataError, without_credentials

__all__ = [
    "URL_START",
    "inside",
    "is_listable",
    "is_secret_name",
    "is_url",
    "join",
    "local_path",
    "name",
    "parent",
    "path_of",
    "redacted",
    "scheme",
    "secrets_in",
    "storable",
    "storable_text",
    "text",
]

URL_START = r"[A-Za-z][A-Za-z0-9+.\-]*(?:://|::)"
_SCHEME = re.compile(URL_START)
_LOCAL_SCHEMES = ("file://", "local://")
_PLAIN_PATH = re.compile(r"[\w-][\w. -]*(?:/[\w-][\w. -]*)*")  # a relative path that needs no further look
_CHAIN = re.compile(r"::(?=[A-Za-z][A-Za-z0-9+.\-]*(?:://|::))")  # between the URLs of fsspec's chained ones
_AUTHORITY = re.compile(r"://(?:([^/?#]*)@|([^/?#@]*:(?!\d*(?:[/?#]|$))[^@]*)@)")
# names of options and of parameters of a query
_SECRET_NAME = re.compile(
    r"secret|token|passw|passphrase|\bpass\b|pwd|jwt|bearer|credential|signature|\bsig\b|\bauth|authori[sz]|cookie|\bsas|_sas|session|"
    r"conn(ection)?_?str|prox(y|ies)|header|(access|account|api|private|shared)[-_]?key|(\b|[-_])key\b",
    re.IGNORECASE,
)
_OPAQUE = re.compile(r"[A-Za-z0-9+/=_.%~-]{20,}")  # values of any parameter that are as long as keys are


def text(url: str | os.PathLike[str]) -> str:
    """Return the URL as text; a `pathlib.Path` or universal path is converted with `str`."""
    return url if isinstance(url, str) else str(url)


def is_url(text: str) -> bool:
    """Return whether the text has a scheme (``s3://…``, ``file://…``); a plain local path has none."""
    return _SCHEME.match(text) is not None


def is_listable(url: str) -> bool:
    """Return whether the files below a URL can be listed; over HTTP they cannot."""
    return not url.startswith(("http://", "https://"))


def scheme(url: str) -> str:
    """Return the part before ``://``; ``""`` for a path on the local disk, with or without a scheme."""
    return "" if local_path(url) is not None else url.partition("://")[0]


def local_path(url: str) -> str | None:
    """Return the path on the local disk, or None for a URL of any other filesystem."""
    if ":" not in url and not url.startswith("~"):  # most; the rest of this function takes a while
        return url
    for scheme in _LOCAL_SCHEMES:
        if url.startswith(scheme):
            return url.removeprefix(scheme)
    return None if is_url(url) else os.path.expanduser(url)  # noqa: PTH111 (Path would drop a leading './' and '//')


def join(url: str | os.PathLike[str], *parts: str) -> str:
    """Append names to a folder's URL; the result is always inside the folder.

    Args:
        url: the folder.
        parts: relative names with ``/`` between folders; ``.`` segments are dropped.

    Raises:
        DataError: a part is empty or absolute, is a URL, or has a ``..`` segment, a backslash or a NUL character.
    """
    base = text(url)
    for part in parts:
        if _PLAIN_PATH.fullmatch(part):  # most
            base = inside(base, part)
            continue
        segments = [segment for segment in part.split("/") if segment != "."]
        if (
            not "".join(segments)
            or part.startswith("/")
            or ".." in segments
            or "\\" in part
            or "\0" in part
            or is_url(part)
        ):
            msg = (
                f"{part!r} does not name a file inside {redacted(base)}; expected a relative path with '/' between "
                "folders, without '..', backslashes or NUL characters"
            )
            raise DataError(msg)
        base = inside(base, "/".join(segments))
    return base


def inside(folder: str, path: str) -> str:
    """Return the URL of a path from a listing of the folder, without any checks."""
    return f"{folder}{path}" if not folder or folder.endswith("/") else f"{folder}/{path}"


def name(url: str | os.PathLike[str]) -> str:
    """Return the last part: ``c`` for ``s3://a/b/c`` and for ``s3://a/b/c/``."""
    last = text(url).rstrip("/").rpartition("/")[2]
    return "" if last.endswith(":") and text(url).endswith("://") else last


def path_of(url: str) -> str:
    """Return the path in a URL, without host and query (which may be a signature), or a path as it is.

    No host is refused, as `urllib.parse.urlsplit` refuses ``[x]``: it may come from somebody's file.
    """
    if not is_url(url):
        return url
    _, slash, path = url.partition("://")[2].partition("/")
    return slash + re.split("[?#]", path, maxsplit=1)[0]


def parent(url: str | os.PathLike[str]) -> str:
    """Return the parent folder; at the top (``/``, ``s3://bucket``, ``a.jpg``) the top itself or ``""``."""
    full = text(url)
    above = full.rstrip("/").rpartition("/")[0]
    if is_url(full) and (above.endswith(":/") or not above.partition("://")[2]):
        return full
    return above or ("/" if full.startswith("/") else "")


def redacted(url: str) -> str:
    """Return the URL, or each of a chain, without user name, password and query, for messages."""
    return "::".join(without_credentials(one, whole=True) for one in _CHAIN.split(url)) if is_url(url) else url


def storable(url: str) -> str:
    """Return the URL as files and pickles may hold it: without credentials, but with a query that contains none."""
    if not is_url(url):
        return url
    links = _CHAIN.split(url)
    return "::".join(without_credentials(one, whole=True, query=not _query_secrets(one)) for one in links)


def storable_text(text: str) -> str:
    """Return any text with each URL in it as `storable` gives it."""
    return storable(text) if is_url(text) else URLS.sub(lambda url: storable(url[0]), text)


def secrets_in(url: str) -> set[str]:
    """Return the passwords (or a user name without one) and the values of queries in a URL, as written and decoded."""
    found: set[str] = set()
    for one in _CHAIN.split(url) if is_url(url) else ():
        if (user := _AUTHORITY.search(one)) and redacted(one) != one:
            given = user[1] or user[2] or ""
            found |= {given, given.partition(":")[2]}
        found |= _query_secrets(one)
    return {form for secret in found for form in (secret, unquote(secret)) if form}


def is_secret_name(name: str) -> bool:
    """Return whether an option, or a parameter of a query, is named as one that holds a secret."""
    return _SECRET_NAME.search(name) is not None


def _query_secrets(url: str) -> set[str]:
    """Return the query and its secret values; the empty set if none of them seems to be secret."""
    query = url.partition("?")[2].partition("#")[0]
    pairs = [pair for pair in parse_qsl(query) if is_secret_name(pair[0]) or _OPAQUE.search(pair[1])]
    return {query, *(value for _, value in pairs)} if pairs else set()
