"""Fast path for plain S3 reads: a third of botocore's time for a small object.

Botocore spends most of that time on resolving the endpoint, the user agent, the signing method and the header types
again for every object. Here they are resolved once per bucket; botocore still signs each request, and its session sends
it. All other cases (options that add headers, access points, directory buckets, no credentials), and every response
other than the content, are left to botocore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Answer", "get"]

_KEY = "onlineml-any-key"
_buckets: dict[tuple[Any, str], _Bucket | None] = {}  # by filesystem


class Answer(NamedTuple):
    """Response to a GET.

    Attributes:
        data: the content; its length matches the header.
        headers: names in lower case.
    """

    data: bytes
    headers: Mapping[str, str]


class _Bucket(NamedTuple):
    """Request settings that all objects of a bucket share."""

    prefix: str  # the URL before the key
    region: str
    http: Any  # botocore's session
    credentials: Any


async def get(fs: Any, bucket: str, key: str, part: tuple[int, int] | None) -> Answer | None:
    """Return an object, or a part of it; None if the request should be made through botocore instead.

    Raises:
        FileNotFoundError: the object does not exist.
    """
    place = fs, bucket
    if place not in _buckets:
        _buckets[place] = await _plain(fs, bucket)
    found = _buckets[place]
    if found is None:
        return None
    headers = {} if part is None else {"Range": f"bytes={part[0]}-{part[1] - 1}"}
    from botocore.exceptions import ConnectionError as BrokenConnectionError  # noqa: PLC0415 (only where S3 is used)
    from botocore.exceptions import HTTPClientError  # noqa: PLC0415

    request = await _signed(found, f"{found.prefix}{quote(key, safe='/~')}", headers)
    try:
        answer = await found.http.send(request)
        data: bytes = await answer.content
    except (HTTPClientError, BrokenConnectionError):  # botocore retries, with growing intervals
        return None
    if answer.status_code == 404:
        raise FileNotFoundError(f"{bucket}/{key}")
    if answer.status_code != (200 if part is None else 206):
        return None
    return Answer(data, answer.headers) if int(answer.headers.get("content-length", -1)) == len(data) else None


async def _signed(found: _Bucket, url: str, headers: dict[str, str]) -> Any:
    from botocore.auth import S3SigV4Auth  # noqa: PLC0415 (only where S3 is used)
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415

    request = AWSRequest("GET", url, headers={"User-Agent": "onlineml", **headers})
    frozen = await found.credentials.get_frozen_credentials()
    S3SigV4Auth(frozen, "s3", found.region).add_auth(request)
    return request.prepare()


async def _plain(fs: Any, bucket: str) -> _Bucket | None:
    """Return the settings that requests to a bucket share; None if they are not plain."""
    if fs.anon or fs.req_kw or fs.s3_additional_kwargs or ":" in bucket or bucket.endswith("--x-s3"):
        return None
    try:
        await fs.set_session()
        client = await fs.get_s3(bucket)
        config = client.meta.config
        url = await client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": _KEY}, ExpiresIn=60)
        found = _Bucket(
            url.partition(_KEY)[0],
            client.meta.region_name,
            client._endpoint.http_session,  # noqa: SLF001 (s3fs takes it there too)
            client._request_signer._credentials,  # noqa: SLF001
        )
    except AttributeError:  # another version of aiobotocore stores it elsewhere
        return None
    is_plain = (
        config.signature_version == "s3v4" and found.region and hasattr(found.credentials, "get_frozen_credentials")
    )
    return found if is_plain else None
