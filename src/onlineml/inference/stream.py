"""Images from any source as prepared and prefetched batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from onlineml.data.loading.loaders import prefetch
from onlineml.errors import BadImageError, ConfigError
from onlineml.inference.sources import items_of
from onlineml.storage.io import read_many
from onlineml.storage.location import Location, Options

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from onlineml.inference.sources import Item

__all__ = ["ImageName", "Stream"]

T = TypeVar("T")


class ImageName(NamedTuple):
    """The name of an image, and its id in the manifest or table that it came from, or ``""``."""

    uri: str
    image_id: str = ""


class Stream(Generic[T]):
    """Yield batches of (`ImageName`, prepared image or error text).

    Args:
        images: see `onlineml.predict`.
        prepare: resizes an image from a file's bytes or a user's pixels, which it must copy; raises `BadImageError`.
        batch_size: images per batch.
        storage_options: of the filesystem.
    """

    def __init__(
        self,
        images: Any,
        prepare: Callable[[bytes | NDArray[Any]], T],
        *,
        batch_size: int,
        storage_options: Options,
    ) -> None:
        self.images, self.prepare = images, prepare
        self.batch_size, self.storage_options = batch_size, storage_options
        self._used = False

    def __iter__(self) -> Iterator[list[tuple[ImageName, T | Exception]]]:
        if self._used and isinstance(self.images, Iterator):
            raise ConfigError(
                "the images came from a generator, which can be iterated only once: pass a list, or keep the rows, as "
                "in rows = list(predict(...))"
            )
        self._used = True
        yield from prefetch(self._batches(items_of(self.images, storage_options=self.storage_options)))

    def _batches(self, items: Iterator[Item]) -> Iterator[list[tuple[ImageName, T | Exception]]]:
        # images in memory are resized immediately: a batch of large photos would take gigabytes, and a generator of
        # frames may reuse its array
        made = ((i, None if isinstance(i.content, Location) else self._prepared(i.content)) for i in items)
        chunks = iter(lambda: list(itertools.islice(made, self.batch_size)), [])
        with ThreadPoolExecutor(1) as reader:

            def begun() -> tuple[list[tuple[Item, T | Exception | None]], Future[list[bytes | OSError]]] | None:
                chunk = next(chunks, None)
                return None if chunk is None else (chunk, reader.submit(self._fetched, chunk))

            current = begun()
            while current is not None:
                chunk, fetch = current
                contents = fetch.result()
                # files of the next batch are fetched meanwhile; frames are not requested early
                following = begun() if contents else None
                fetched = iter(contents)
                made_of = [self._prepared(next(fetched)) if image is None else image for _, image in chunk]
                named = (ImageName(item.name, item.image_id) for item, _ in chunk)
                yield list(zip(named, made_of, strict=True))
                current = following if contents else begun()

    def _fetched(self, chunk: list[tuple[Item, Any]]) -> list[bytes | OSError]:
        missing = [(item.content, item.version) for item, image in chunk if isinstance(item.content, Location)]
        return read_many([place for place, _ in missing], versions=[version for _, version in missing])

    def _prepared(self, content: bytes | Exception | NDArray[Any]) -> T | Exception:
        if isinstance(content, Exception):
            return content
        try:
            return self.prepare(content)
        except BadImageError as error:
            return error
