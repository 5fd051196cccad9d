"""Images from any source as prepared and prefetched batches."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np

from onlineml.data.images.decode import decode, may_need_much_memory
from onlineml.data.loading.loaders import prefetch
from onlineml.data.loading.threads import AT_WORK, opencv_threads
from onlineml.errors import BadImageError, ConfigError
from onlineml.inference.sources import is_stored, items_of, n_images
from onlineml.storage.io import read_many
from onlineml.storage.location import Location, Options

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from onlineml.data.images.decode import Decoded
    from onlineml.inference.sources import Item

__all__ = ["LEAST_READ", "ImageName", "Stream", "decode_with_care"]

T = TypeVar("T")

LEAST_READ = 16  # one by one, threads would wait for each other longer than they work


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
        least_read: files that are read and decoded together, if batches are smaller.

    Attributes:
        n_images: number of images; None if it is unknown, or not known yet.
    """

    def __init__(
        self,
        images: Any,
        prepare: Callable[[bytes | NDArray[Any]], T],
        *,
        batch_size: int,
        storage_options: Options,
        least_read: int = LEAST_READ,
    ) -> None:
        self.images, self.prepare = images, prepare
        self.batch_size, self.storage_options = batch_size, storage_options
        self._used = False
        self.n_images = n_images(images)
        is_known = self.n_images is not None or is_stored(images)  # nobody waits for a row before he gives the next
        self._n_together = batch_size * (max(1, least_read // batch_size) if is_known else 1)

    def __iter__(self) -> Iterator[list[tuple[ImageName, T | Exception]]]:
        if self._used and isinstance(self.images, Iterator):
            raise ConfigError(
                "the images came from a generator, which can be iterated only once: pass a list, or keep the rows, as "
                "in rows = list(predict(...))"
            )
        self._used = True
        with contextlib.closing(prefetch(self._chunks(self._items()))) as chunks:
            for chunk in chunks:
                for start in range(0, len(chunk), self.batch_size):
                    yield chunk[start : start + self.batch_size]

    def _items(self) -> Iterator[Item]:
        items = items_of(self.images, storage_options=self.storage_options)
        if not is_stored(self.images):
            return items
        listed = list(items)
        self.n_images = len(listed)
        return iter(listed)

    def _chunks(self, items: Iterator[Item]) -> Iterator[list[tuple[ImageName, T | Exception]]]:
        # pixels in memory are resized immediately: a batch of large photos would take gigabytes, and a generator of
        # frames may reuse its array
        made = ((i, self._prepared(i.content) if isinstance(i.content, np.ndarray) else None) for i in items)
        chunks = iter(lambda: list(itertools.islice(made, self._n_together)), [])
        with ThreadPoolExecutor(1) as reader:

            def begun() -> tuple[list[tuple[Item, T | Exception | None]], Future[list[bytes | OSError]]] | None:
                chunk = next(chunks, None)
                return None if chunk is None else (chunk, reader.submit(self._fetched, chunk))

            current = begun()
            while current is not None:
                chunk, fetch = current
                contents = fetch.result()
                # the next files are fetched meanwhile; frames are not requested early
                following = begun() if contents else None
                yield self._named(chunk, contents)
                current = following if contents else begun()

    def _fetched(self, chunk: list[tuple[Item, Any]]) -> list[bytes | OSError]:
        missing = [(item.content, item.version) for item, _ in chunk if isinstance(item.content, Location)]
        return read_many([place for place, _ in missing], versions=[version for _, version in missing])

    def _named(
        self, chunk: list[tuple[Item, T | Exception | None]], fetched: list[bytes | OSError]
    ) -> list[tuple[ImageName, T | Exception]]:
        """Return prepared images; files are decoded in as many threads as there are cores."""
        files = iter(fetched)
        given = [item.content for item, image in chunk if image is None]
        contents: list[Any] = [next(files) if isinstance(one, Location) else one for one in given]
        if len(contents) > 1:
            opened = iter(opencv_threads().decoding.map(self._prepared_at_work, contents))
        else:
            opened = map(self._prepared, contents)
        names = (ImageName(item.name, item.image_id) for item, _ in chunk)
        return [(name, next(opened) if image is None else image) for name, (_, image) in zip(names, chunk, strict=True)]

    def _prepared_at_work(self, content: Any) -> T | Exception:
        with AT_WORK:
            return self._prepared(content)

    def _prepared(self, content: bytes | Exception | NDArray[Any]) -> T | Exception:
        if isinstance(content, Exception):
            return content
        try:
            return self.prepare(content)
        except BadImageError as error:
            return error


def decode_with_care(content: bytes, *, min_side: int | None) -> Decoded:
    """Decode a file while other threads decode others: one very large image at a time; see `decode`."""
    is_large = may_need_much_memory(content, min_side=min_side)
    with opencv_threads().large if is_large else contextlib.nullcontext():
        return decode(content, min_side=min_side)
