"""The secrets in URLs and storage options: found, hidden in messages, and refused in what is stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import fsspec.config

from onlineml.errors import ConfigError, without_credentials
from onlineml.storage import urls

if TYPE_CHECKING:
    from onlineml.storage.location import Location

__all__ = ["publishable", "refuse_secrets", "scrubbed", "secrets_of"]

_SHORT = 6  # characters of a secret that may also be a part of other words
# names of arguments: unlike an option, an argument named key, header or session is no secret
_NOT_IN_SPECS = re.compile(
    r"storage_options|secret|passw(or)?d|passphrase|^pwd$|credential|signature|(^|_)token$|^auth(entication)?$|"
    r"(api|access|account|private|shared)[-_]?key|conn(ection)?_?str|authori[sz]ation|cookie|^sas$|^headers$|"
    r"(^|_)prox(y|ies)$|^session_id$",
    re.IGNORECASE,
)
# tokens that are known by their beginning: of Hugging Face, GitHub, GitLab, Slack, OpenAI, AWS, Google; JSON web tokens
_TOKENS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,}|"
    r"sk-(?:[a-z]+-)*[A-Za-z0-9]{20,}|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[\w-]{35}|ya29\.[\w-]{16,}|"
    r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*)|(?<=hooks\.slack\.com/services/)[\w/]+"
)
# what tells a secret in any text: a part of a connection string, a header, a key, a URL with one slash or no scheme
_TELLING = re.compile(
    r"((account|shared|access|api|secret|private)_?key|sharedaccesssignature|password|pwd)=[^;&\s]|"
    r"(?:^|[?&;\s])(?:sig|signature|x-(?:amz|goog)-(?:signature|security-token))=[A-Za-z0-9%/+=_-]{8}|"
    r"\b(bearer|basic)\s+[A-Za-z0-9+/=_.~-]{8}|-----BEGIN [A-Z ]*PRIVATE KEY|"
    r"(?:^|[\s\"'=(,])(?:[a-z][a-z0-9+.-]*:/(?!/)|//)[^/\s:@]*:[^/\s@]+@",
    re.IGNORECASE,
)


def scrubbed(text: str, at: Location) -> str:
    """Return a text without the credentials of URLs in it, and without the secrets of a location."""
    return _masked(without_credentials(text), at)


def publishable(value: Any, at: Location) -> Any:
    """Return a JSON value as a record may hold it: without secrets in its texts, but with queries that have none."""
    if isinstance(value, Mapping):
        return {publishable(name, at): publishable(inner, at) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [publishable(inner, at) for inner in value]
    return _masked(urls.storable_text(value), at) if isinstance(value, str) else value


def _masked(text: str, at: Location) -> str:
    """Return a text with ``***`` in place of known tokens and a location's secrets, as written, encoded and decoded."""
    text = _TOKENS.sub("***", text)
    forms = {form for secret in secrets_of(at) for form in (secret, quote(secret, safe=""), unquote(secret))}
    for secret in sorted(forms, key=len, reverse=True):
        whole = re.escape(secret) if len(secret) >= _SHORT else rf"(?<!\w){re.escape(secret)}(?!\w)"
        text = re.sub(whole, "***", text)
    return text


def secrets_of(at: Location) -> set[str]:
    """Return the secrets in a location's URL and options, and in fsspec's configuration of its filesystems.

    They are the values of options that are named so, also nested ones.
    """
    protocols = {link.partition("://")[0] for link in at.url.split("::")} if urls.is_url(at.url) else ()
    configured = [fsspec.config.conf.get(protocol) for protocol in protocols]
    return urls.secrets_in(at.url) | _secrets_in([at.options, *configured], secret=False)


def _secrets_in(value: Any, *, secret: bool) -> set[str]:
    """Return the texts in a value of options that is secret, or of which parts are."""
    if isinstance(value, Mapping):
        parts = [_secrets_in(one, secret=secret or urls.is_secret_name(str(name))) for name, one in value.items()]
        return set().union(*parts)
    if isinstance(value, (list, tuple, set, frozenset)):
        return set().union(*(_secrets_in(one, secret=secret) for one in value))
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    if not isinstance(text, str) or not text:
        return set()
    found = urls.secrets_in(text)
    if secret:  # a connection string also in its parts, a header without the name of its scheme
        pieces = [part.partition("=")[2] for part in text.split(";") if urls.is_secret_name(part.partition("=")[0])]
        found |= {text, *pieces, text.rpartition(" ")[2]}
    return found - {""}


def refuse_secrets(value: Any, at: Location, where: str = "spec") -> None:
    """Refuse JSON values to be stored if they contain a secret.

    Args:
        value: the values.
        at: the location whose secrets are known.
        where: name of the values, for messages.

    Raises:
        ConfigError: a name or a text looks like a secret.
    """
    if isinstance(value, dict):
        for name, inner in value.items():
            if _NOT_IN_SPECS.search(str(name)) and inner:
                msg = f"{where}[{name!r}] looks like a secret, and would be stored; pass storage_options to the call"
                raise ConfigError(msg)
            refuse_secrets(str(name), at, f"a name in {where}")
            refuse_secrets(inner, at, f"{where}[{name!r}]")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            refuse_secrets(inner, at, f"{where}[{index}]")
    elif isinstance(value, str) and any(_tells(form, at) for form in {value, unquote(value)}):
        raise ConfigError(
            f"{where} contains a password, a token or another secret, and would be stored; pass it in the "
            "environment or in storage_options"
        )


def _tells(text: str, at: Location) -> bool:
    return publishable(text, at) != text or _TELLING.search(text) is not None
