"""Photos from a request: a form with files, JSON with base64, or one photo as the body."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["decoded_base64", "photos_in", "too_many"]

_FORM, _JSON = "multipart/form-data", "application/json"


class _Images(msgspec.Struct):
    """Body of a JSON request."""

    images: Annotated[list[str], Meta(min_length=1)]


async def photos_in(request: Request, *, max_photos: int, max_bytes: int) -> tuple[list[str], list[bytes]]:
    """Return the names and the contents of the photos of a request.

    Args:
        request: with ``multipart/form-data`` of files under any name, ``application/json`` of ``{"images": [...]}`` in
            base64 (or ``data:`` URLs), or the content of one photo under any other type.
        max_photos: beyond which it is refused.
        max_bytes: of the request.

    Raises:
        HTTPException: 400 for none, 413 for too many.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == _FORM:
        names, photos = await _of_form(request, max_photos, max_bytes)
    elif kind == _JSON:
        names, photos = await asyncio.to_thread(_of_json, await request.body(), max_photos)
    else:
        body = await request.body()
        names, photos = (["0"], [body]) if body else ([], [])
    if not photos:
        raise HTTPException(
            400,
            f'the request has no photo: expected files as {_FORM}, {_JSON} as {{"images": [base64, ...]}}, or the '
            "content of one photo as the body",
        )
    return names, photos


def too_many(n: int, most: int) -> HTTPException:
    """Return the error for a request of ``n`` photos."""
    return HTTPException(413, f"the request has {n} photos: send at most {most} at once")


async def _of_form(request: Request, max_photos: int, max_bytes: int) -> tuple[list[str], list[bytes]]:
    names, photos = [], []
    try:
        form = await request.form(max_files=max_photos, max_fields=max_photos, max_part_size=max_bytes)
    except HTTPException as error:
        if error.detail.startswith("Too many"):  # so words it starlette's parser, which stops there
            most = f"send at most {max_photos} photos at once"
            raise HTTPException(413, f"the form has too many parts: {most}") from error
        raise
    try:
        for name, value in form.multi_items():
            if not isinstance(value, UploadFile):
                raise HTTPException(400, f"the form's field {name!r} is no file: expected one, with filename=")
            names.append(value.filename or name)
            photos.append(await value.read())
    finally:
        await form.close()
    return names, photos


def _of_json(body: bytes, max_photos: int) -> tuple[list[str], list[bytes]]:
    try:
        images = msgspec.json.decode(body, type=_Images).images
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(400, f'the JSON is not {{"images": [base64, ...]}}: {error}') from error
    if len(images) > max_photos:
        raise too_many(len(images), max_photos)
    return [str(i) for i in range(len(images))], [decoded_base64(text, i) for i, text in enumerate(images)]


def decoded_base64(text: str, position: int) -> bytes:
    """Return the content of a photo in base64, with a ``data:`` URL's head or without.

    Raises:
        HTTPException: it is not base64.
    """
    head, comma, _tail = text[:200].partition(",")
    if comma and head.startswith("data:"):
        text = text[len(head) + 1 :]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise HTTPException(
            400, f"photo {position} is not base64 ({error}); this server fetches no URLs: send contents"
        ) from error
