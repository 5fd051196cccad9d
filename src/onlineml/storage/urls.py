"""Names on storage: what is a URL, what is a local path, and how names are put together without escaping a folder."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from onlineml.errors import DataError

__all__ = ["inside", "is_url", "join", "local_path", "name", "parent", "redacted", "text"]

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*(?:://|::)")
_LOCAL_SCHEMES = ("file://", "local://")


def text(url: str | os.PathLike[str]) -> str:
    """The URL as text; a `pathlib.Path` or universal path is taken as it prints."""
    return url if isinstance(url, str) else str(url)


def is_url(text: str) -> bool:
    """Whether the text has a scheme (``s3://…``, ``file://…``); a plain local path has none."""
    return _SCHEME.match(text) is not None


def local_path(url: str) -> str | None:
    """The path on the local disk, or None for a URL of any other filesystem."""
    for scheme in _LOCAL_SCHEMES:
        if url.startswith(scheme):
            return url.removeprefix(scheme)
    return None if is_url(url) else os.path.expanduser(url)  # noqa: PTH111 (Path would drop a leading './' and '//')


def join(url: str | os.PathLike[str], *parts: str) -> str:
    """Put names behind a folder's URL; the result always lies inside the folder.

    Args:
        url: the folder.
        parts: relative names with ``/`` between folders; ``.`` segments are dropped.

    Raises:
        DataError: a part is empty or absolute, is a URL, has a ``..`` segment, a backslash or a NUL character.
    """
    base = text(url)
    for part in parts:
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
    """The URL of a path that a listing of the folder gave, taken as it is."""
    return f"{folder}{path}" if not folder or folder.endswith("/") else f"{folder}/{path}"


def name(url: str | os.PathLike[str]) -> str:
    """The last part: ``c`` for ``s3://a/b/c`` and for ``s3://a/b/c/``."""
    last = text(url).rstrip("/").rpartition("/")[2]
    return "" if last.endswith(":") and text(url).endswith("://") else last


def parent(url: str | os.PathLike[str]) -> str:
    """The folder that holds the URL; at the top (``/``, ``s3://bucket``, ``a.jpg``) the top itself or ``""``."""
    full = text(url)
    above = full.rstrip("/").rpartition("/")[0]
    if is_url(full) and (above.endswith(":/") or not above.partition("://")[2]):
        return full
    return above or ("/" if full.startswith("/") else "")


def redacted(url: str) -> str:
    """The URL without user name, password and query (which may be a signature), for messages."""
    if not is_url(url) or "::" in url:
        return url
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if parts.query or host != parts.netloc else url
