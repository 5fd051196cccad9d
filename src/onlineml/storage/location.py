"""Location of a file or folder on storage: its URL together with the fsspec options that open it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Union

from onlineml.storage import urls

__all__ = ["Location", "Options", "Url"]

Options = Mapping[str, Any] | None
Url = Union[str, os.PathLike[str], "Location"]


@dataclass(frozen=True, repr=False)
class Location:
    """URL of a file or folder together with fsspec's options for opening it.

    Neither its text nor its repr shows options, or the user name, password and query of the URL. A pickle holds the
    options, because worker processes need them: objects that people pickle leave them out, see `without_options`.

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

    @property
    def without_options(self) -> Location:
        """The same place without options and credentials, for pickles and whatever else outlasts a process."""
        return Location(urls.storable(self.url))

    def __str__(self) -> str:
        return urls.redacted(self.url)

    def __repr__(self) -> str:
        return f"Location({str(self)!r})"
