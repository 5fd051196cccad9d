"""Images that a file names by addresses in a cloud, which may lie elsewhere by now; boxes in shares of their sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from onlineml.arguments.counted import count
from onlineml.data.formats.locate import locate
from onlineml.data.formats.parts import Listing, absolute, common_folder
from onlineml.data.images.sizes import upright_sizes_hw
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError, OnlineMLError
from onlineml.storage import io
from onlineml.storage.location import Location
from onlineml.storage.urls import inside, is_listable, path_of, redacted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.data.formats.annotated import AnnotatedImage
    from onlineml.data.formats.format import Source

__all__ = ["Placed", "in_pixels", "placed"]

_NO_STORE = ("azureml://", "amldatastore://")  # addresses that only a workspace can resolve


class Placed(NamedTuple):
    """Images whose names are paths below a folder where they were found.

    Attributes:
        images: one that was not found has its name as it was.
        source: with the listing of the folder.
        folder: absolute.
        n_found: how many were found, or may be there.
        notes: for people.
    """

    images: list[AnnotatedImage]
    source: Source
    folder: str
    n_found: int
    notes: tuple[str, ...] = ()


def placed(images: Sequence[AnnotatedImage], source: Source) -> Placed:
    """Return where images lie: below ``source.images``, else below the folder of the file, else at their addresses.

    Raises:
        DataError: they are at none of these.
    """
    told, split = source.images, {image.name for image in images if image.split}
    images = [image for image in images if image.split or image.name not in split]  # in the file of all, and in another
    folder = source.folder if told is None else absolute(str(told))
    listing = (source if told is None else source._replace(files=None)).listing(folder)
    located = locate([image.name for image in images], listing.images)
    if any(located.paths) or located.ambiguous or told is not None or not any(map(_is_absolute, images)):
        ambiguous = located.ambiguous
        named = [
            image if image.name in ambiguous else image._replace(name=path or _path(image.name))
            for image, path in zip(images, located.paths, strict=True)
        ]
        n_found = sum(path is not None for path in located.paths)
        return Placed(named, source._replace(files=listing), folder, n_found)
    return _at_addresses(images, source, f"no image of these names is below {folder}; set images=<their folder>")


def _path(address: str) -> str:
    return path_of(address).lstrip("/")


def _is_absolute(image: AnnotatedImage) -> bool:
    return io.is_url(image.name) or image.name.startswith("/")


def _at_addresses(images: Sequence[AnnotatedImage], source: Source, remedy: str) -> Placed:
    common = common_folder([io.parent(image.name) for image in images])
    first = redacted(images[0].name)
    if not common or common.lower().startswith(_NO_STORE):
        raise DataError(f"{source.where} names images by addresses such as {first}, and {remedy}")
    prefix = f"{common.rstrip('/')}/"
    named = [image._replace(name=image.name.removeprefix(prefix)) for image in images]
    there = Listing(tuple(io.FileInfo(inside(common, one.name), one.name, 0, "") for one in named))
    try:
        listing = source._replace(files=None).listing(common) if is_listable(common) else there
    except PermissionError:  # one may be allowed to read what one may not list
        listing = there
    except (OnlineMLError, OSError, ImportError) as error:
        raise DataError(f"{first}, named in {source.where}, cannot be read: {error}; {remedy}") from error
    found = {info.path for info in listing.files} & {image.name for image in named}
    if not found:
        raise DataError(f"{source.where} names images by addresses such as {first}: nothing is there, and {remedy}")
    notes = (f"the images are read from {redacted(common)}",)
    return Placed(named, source._replace(files=listing), common, len(found), notes)


def in_pixels(found: Placed) -> Placed:
    """Return images whose boxes, shares of the sides so far, are in pixels.

    Of those without a size the first bytes are read; boxes of images that are not there, or cannot be read, are left
    out, with a note.
    """
    images, urls = list(found.images), {info.path: info.url for info in found.source.listing().files}
    unknown = [place for place, image in enumerate(images) if image.shapes and image.size_hw is None]
    there = [place for place in unknown if images[place].name in urls]
    sizes = upright_sizes_hw([Location(urls[images[place].name], found.source.options) for place in there])
    for place, size in zip(there, sizes.tolist(), strict=True):
        if all(size):
            images[place] = images[place]._replace(size_hw=(size[0], size[1]))
    lost = [images[place].name for place in unknown if images[place].size_hw is None]
    notes = found.notes
    if lost:
        notes += (f"{count(len(lost), 'image')} without a size that can be read, so without boxes: {examples(lost)}",)
    return found._replace(images=[_scaled(image) for image in images], notes=notes)


def _scaled(image: AnnotatedImage) -> AnnotatedImage:
    if not image.shapes or image.size_hw is None:
        return image if not image.shapes else image._replace(shapes=None)
    height, width = image.size_hw
    shapes = []
    for shape in image.shapes:
        x1, y1, x2, y2 = shape.box_xyxy
        shapes.append(shape._replace(box_xyxy=(x1 * width, y1 * height, x2 * width, y2 * height)))
    return image._replace(shapes=shapes)
