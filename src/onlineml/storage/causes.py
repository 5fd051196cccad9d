"""Cause of a filesystem's error in one sentence, and its remedy.

Causes are told apart by the server's error code, by the number of an operating system's error, and by the names of the
exceptions of botocore, aiohttp and other libraries, never by their texts.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from onlineml.storage import urls
from onlineml.storage.s3 import client as s3

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onlineml.storage.location import Location

__all__ = ["Cause", "cause_of", "missing_folder"]


class Cause(NamedTuple):
    """Cause of an error.

    Attributes:
        what: the cause.
        remedy: what to do.
        denied: whether this file or folder may not be accessed; all other causes concern the whole store.
    """

    what: str
    remedy: str
    denied: bool = False

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


_KEYS = "storage_options or the environment (FSSPEC_S3_KEY and FSSPEC_S3_SECRET, or AWS_PROFILE)"
_EXPIRED = Cause(
    "the session token has expired",
    f"sign in again (with Amazon's SSO: aws sso login), and start Python again or pass the new credentials in {_KEYS}",
)
_TOKEN = Cause("the store does not accept the session token", f"check the token that belongs to the key in {_KEYS}")
_NO_KEYS = Cause("no credentials were found", f"pass them in {_KEYS}; for a public bucket pass anon=True")
_SKEW = Cause("this machine's clock differs from the store's by too much", "set it: timedatectl set-ntp true")
_REGION = Cause(
    "the bucket is in another region{region}",
    "name it: storage_options={{'client_kwargs': {{'region_name': {example!r}}}}}, or AWS_DEFAULT_REGION={example}",
)
_BUSY = Cause("the store asks for fewer requests, and did so until the end of our patience", "try again later")
_FULL_STORE = Cause("the store is full, or a quota is exceeded", "delete what is not needed, see project.sweep()")
_SIGNATURE = Cause(
    "the signature is wrong: the secret does not belong to the access key",
    f"check both in {_KEYS}, also for blanks and line ends",  # some stores say the same of an unknown key
)
_CODES = {
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "RequestExpired": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidToken": _TOKEN,
    "InvalidAccessKeyId": Cause(
        "the store does not know the access key",
        f"check the key in {_KEYS}, and that it belongs to this server (endpoint_url)",
    ),
    "SignatureDoesNotMatch": _SIGNATURE,
    "RequestTimeTooSkewed": _SKEW,
    "RequestInTheFuture": _SKEW,
    "NoSuchBucket": Cause(
        "there is no bucket {bucket!r}", "check its name and the server (endpoint_url), or create the bucket"
    ),
    "InvalidBucketName": Cause("{bucket!r} is not a valid name of a bucket", "check the URL"),
    "PermanentRedirect": _REGION,
    "301": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "SlowDown": _BUSY,
    "ServiceUnavailable": _BUSY,
    "503": _BUSY,
    "429": _BUSY,
    "TooManyRequests": _BUSY,
    "RequestLimitExceeded": _BUSY,
    "QuotaExceeded": _FULL_STORE,
    "XMinioStorageFull": _FULL_STORE,
    "507": _FULL_STORE,
    "InvalidObjectState": Cause("the object is archived", "restore it first (aws s3api restore-object)"),
}
_REFUSED = Cause("nothing answers at {server}", "check the address and port (endpoint_url), and that the server runs")
_NO_SCHEME = Cause("{server!r} is not the address of a server", "expected http:// or https:// before it (endpoint_url)")
_UNREACHABLE = Cause("{server} cannot be reached", "check the network, the VPN and the proxy")
_SILENT = Cause(
    "{server} does not answer in time",
    "try again later, and check the server (ONLINEML_CLICK_S and ONLINEML_PATIENCE_S: how long it is waited for)",
)
_NAMES = {  # of exceptions
    "SSOTokenLoadError": _EXPIRED,
    "UnauthorizedSSOTokenError": _EXPIRED,
    "TokenRetrievalError": _EXPIRED,
    "RefreshError": _EXPIRED,
    "NoCredentialsError": _NO_KEYS,
    "PartialCredentialsError": _NO_KEYS,
    "CredentialRetrievalError": _NO_KEYS,
    "DefaultCredentialsError": _NO_KEYS,
    "ProfileNotFound": Cause("AWS_PROFILE names no profile of this machine", "see ~/.aws/config"),
    "ParamValidationError": _CODES["InvalidBucketName"],
    "gaierror": Cause(
        "there is no server of the name {server} (DNS)", "check its spelling (endpoint_url), the network and the VPN"
    ),
    "ClientConnectorDNSError": Cause(
        "there is no server of the name {server} (DNS)", "check its spelling, the network and the VPN"
    ),
    "SSLCertVerificationError": Cause(
        "the certificate of {server} is not trusted",
        "if it is of an authority of your own: export AWS_CA_BUNDLE=/path/to/ca.pem (SSL_CERT_FILE for other stores)",
    ),
    "SSLError": Cause("{server} does not speak TLS as expected", "check whether the address begins with http or https"),
    "ProxyConnectionError": Cause("the proxy cannot be reached", "check HTTPS_PROXY and NO_PROXY"),
    "ConnectionRefusedError": _REFUSED,
    "ConnectTimeoutError": _UNREACHABLE,
    "ReadTimeoutError": _SILENT,
    "TimeoutError": _SILENT,
    "EndpointConnectionError": _REFUSED,
}
_FULL = Cause("the disk of {folder} is full", "free some space; project.sweep() lists what can be deleted of a project")
_TOO_MANY = Cause("too many files are open", "raise the limit: ulimit -n 4096")
_NUMBERS = {  # of the errors of operating systems
    errno.EROFS: Cause("{folder} is mounted read-only", "mount it writable, or use another folder", denied=True),
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL._replace(what="your quota on the disk of {folder} is used up"),
    errno.EMFILE: _TOO_MANY,
    errno.ENFILE: _TOO_MANY,
    errno.EISDIR: Cause("it is a folder", "expected a file"),
    errno.ENAMETOOLONG: Cause("the name is too long for this disk", "choose a shorter one"),
    errno.EIO: Cause("the disk has failed (input/output error)", "check it: dmesg, smartctl"),
    errno.ESTALE: Cause("the network disk was mounted again or removed", "open the folder again"),
    errno.ENOTCONN: Cause("the network disk is not connected", "mount it again"),
    errno.ECONNREFUSED: _REFUSED,
    errno.ENETUNREACH: _UNREACHABLE,
    errno.EHOSTUNREACH: _UNREACHABLE,
}


def cause_of(err: BaseException, at: Location) -> Cause | None:
    """Return the cause of a filesystem's error at a location; None for one that is not known."""
    server = _server(err, at)
    if at.local is not None:
        found = _on_disk(err, at)
    elif isinstance(err, ValueError) and "://" not in server and at.url.startswith("s3"):
        found = _NO_SCHEME
    else:
        found = _CODES.get(s3.server_code(err)) or _by_chain(err)
    if found is None:
        return None
    region = s3.region_of(err)
    words = {
        "bucket": at.url.partition("://")[2].partition("/")[0],
        "server": server,
        "folder": _way_to(at.local or "")[0],
        "region": f", {region!r}" if region else "",
        "example": region or "eu-west-1",
    }
    return found._replace(what=found.what.format(**words), remedy=found.remedy.format(**words))


def missing_folder(file: Location) -> str:
    """Return the first folder on the way to a local file that does not exist; ``""`` where only the file is missing."""
    if file.local is None:
        return ""
    path, above = Path(os.path.abspath(file.local)), Path(_way_to(file.local)[0])  # noqa: PTH100
    return "" if above == path.parent else str(above / path.relative_to(above).parts[0])


def _way_to(path: str) -> tuple[str, bool]:
    """Return the closest folder or file above a local path that exists, and whether it is a file."""
    parents = Path(os.path.abspath(path)).parents  # noqa: PTH100
    above = next((one for one in parents if os.path.exists(one)), Path("/"))  # noqa: PTH110 (no error of long names)
    return str(above), not above.is_dir()


def _on_disk(err: BaseException, at: Location) -> Cause | None:
    folder, is_file = _way_to(at.local or "")
    if is_file:
        return Cause(f"{folder} is a file, not a folder", "check the path")
    if isinstance(err, PermissionError):
        return Cause("this user may not access it", f"check owner and mode (ls -ld) of {folder} and above", denied=True)
    return _NUMBERS.get(getattr(err, "errno", None) or 0)


def _by_chain(err: BaseException) -> Cause | None:
    """Return the cause by the names and numbers of an error and of those that it came from, the innermost first."""
    for one in reversed(list(_chain(err))):
        for name in (cls.__name__ for cls in type(one).__mro__):
            if name in _NAMES:
                return _NAMES[name]
        if isinstance(one, OSError) and one.errno in _NUMBERS and not s3.server_code(one):
            return _NUMBERS[one.errno]
    return None


def _chain(err: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = err
    while one is not None:
        yield one
        inner = (getattr(one, "kwargs", None) or {}).get("error")  # of botocore
        one = inner if isinstance(inner, BaseException) else one.__cause__ or one.__context__


def _server(err: BaseException, at: Location) -> str:
    """Return the address of the server for messages, without credentials."""
    options: dict[str, Any] = dict(at.options or {})
    given = options.get("endpoint_url") or (options.get("client_kwargs") or {}).get("endpoint_url")
    for one in _chain(err):
        given = given or (getattr(one, "kwargs", None) or {}).get("endpoint_url")
    if not given:
        given = at.url if at.url.startswith("http") else os.environ.get("FSSPEC_S3_ENDPOINT_URL") or ""
    return "/".join(urls.redacted(str(given)).split("/")[:3]) or f"{at.url.partition('://')[0]}://"
