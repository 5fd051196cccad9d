"""Location of a file or folder on storage: its URL together with the fsspec options that open it.

What holds such options or URLs with credentials is `Confidential`: only a worker process is told them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.context import get_spawning_popen
from typing import Any, Self, Union

from onlineml.storage import urls

__all__ = ["Confidential", "Location", "Options", "Url"]

Options = Mapping[str, Any] | None
Url = Union[str, os.PathLike[str], "Location"]


class Confidential:
    """Immutable value whose pickle holds credentials only for a process that multiprocessing is starting.

    Any other pickle may be stored: it has the values of `_without_credentials` instead.
    """

    def _without_credentials(self) -> dict[str, Any]:
        """Return the attributes that may hold credentials, without them."""
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ if get_spawning_popen() is not None else self.__dict__ | self._without_credentials()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self


@dataclass(frozen=True, repr=False)
class Location(Confidential):
    """URL of a file or folder together with fsspec's options for opening it.

    Neither its text nor its repr shows options, or the user name, password and query of the URL.

    Attributes:
        url: as fsspec takes it; a plain local path is valid too.
        options: fsspec's, which may contain secrets; None where there are none.
    """

    url: str
    options: Options = field(default=None, hash=False)

    @classmethod
    def of(cls, url: Url, storage_options: Options = None) -> Location:
        """Return a URL or path with its options as a location; a location stays as it is."""
        return url if isinstance(url, Location) else cls(urls.text(url), storage_options)

    def __truediv__(self, name: str) -> Location:
        """Return the location of a name inside this folder.

        Raises:
            DataError: the name would leave the folder, see `onlineml.storage.urls.join`.
        """
        return Location(urls.join(self.url, name), self.options)

    def to(self, url: str | os.PathLike[str]) -> Location:
        """Return the location of another URL; only a store of the same scheme is told these options."""
        other = urls.text(url)
        return Location(other, self.options if urls.scheme(other) == urls.scheme(self.url) else None)

    @property
    def local(self) -> str | None:
        """The path on the local disk; None for any other filesystem."""
        return urls.local_path(self.url)

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return urls.name(self.url)

    @property
    def parent(self) -> Location:
        """The folder that this is in."""
        return replace(self, url=urls.parent(self.url))

    @property
    def folder(self) -> Location:
        """The same URL without a slash at its end."""
        return self if self.url.endswith("://") else replace(self, url=self.url.rstrip("/") or self.url)

    @property
    def absolute(self) -> Location:
        """The same folder; a local path is made absolute, so that it outlasts a change of the current folder."""
        return self.folder if self.local is None else replace(self, url=os.path.abspath(self.local))  # noqa: PTH100 (links stay as they are)

    def _without_credentials(self) -> dict[str, Any]:
        return {"url": urls.storable(self.url), "options": None}

    def __str__(self) -> str:
        return urls.redacted(self.url)

    def __repr__(self) -> str:
        return f"Location({str(self)!r})"
