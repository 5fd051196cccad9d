"""The KServe protocol, version 2 (Open Inference Protocol), over HTTP and JSON, with its binary inputs.

Source: https://github.com/kserve/open-inference-protocol, and its extension for binary tensors.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from starlette.exceptions import HTTPException

from onlineml.serving.forms import decoded_base64, too_many

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["BINARY", "Infer", "infer_request", "metadata", "outputs_of"]

BINARY = "inference-header-content-length"  # header: bytes of the JSON, before the binary data
_DATATYPES = {"f": "FP32", "i": "INT64", "b": "BOOL", "O": "BYTES"}
_COLOURS = 3
_PIECE = 100_000  # bytes of JSON


class _Input(msgspec.Struct):
    name: str
    datatype: str
    shape: Annotated[list[Annotated[int, Meta(ge=1)]], Meta(min_length=1, max_length=4)]
    data: msgspec.Raw = msgspec.Raw(b"null")  # not objects of Python: millions of numbers would be gigabytes
    parameters: dict[str, Any] = {}


class _Output(msgspec.Struct):
    name: str


class _Request(msgspec.Struct):
    inputs: Annotated[list[_Input], Meta(min_length=1, max_length=1)]
    outputs: list[_Output] = []
    id: str = ""
    parameters: dict[str, Any] = {}


class Infer(msgspec.Struct):
    """A request.

    Attributes:
        id: given by the client, and given back.
        photos: contents of files, or (H, W, 3) uint8 arrays in RGB.
        threshold: see `onlineml.predict`.
        outputs: names of those that are wanted; empty for all.
    """

    id: str
    photos: list[Any]
    threshold: float | None
    outputs: list[str]


def infer_request(body: bytes, *, json_bytes: int | None, max_photos: int) -> Infer:
    """Read the body of ``/infer``.

    Args:
        body: JSON, and then the binary data.
        json_bytes: length of the JSON; None for all.
        max_photos: beyond which it is refused.

    Raises:
        HTTPException: 400 if it is not such a request, 413 for too many photos.
    """
    text, binary = (body, b"") if json_bytes is None else (body[:json_bytes], body[json_bytes:])
    try:
        request = msgspec.json.decode(text, type=_Request)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(400, f"not a request of the KServe protocol with one input: {error}") from error
    given = request.inputs[0]
    size = given.parameters.get("binary_data_size")
    if size is not None:
        if not isinstance(size, int) or size != len(binary):
            raise HTTPException(400, f"binary_data_size is {size!r}, but {len(binary)} bytes follow the JSON")
    elif binary:
        raise HTTPException(400, f"{len(binary)} bytes follow the JSON: expected binary_data_size in the parameters")
    if given.shape[0] > max_photos:
        raise too_many(given.shape[0], max_photos)
    readers: dict[str, Callable[[_Input, bytes | None], list[Any]]] = {"BYTES": _contents, "UINT8": _pixels}
    read = readers.get(given.datatype)
    if read is None:
        raise HTTPException(
            400, f"the input's datatype is {given.datatype!r}: expected BYTES (files) or UINT8 (pixels)"
        )
    photos = read(given, None if size is None else binary)
    return Infer(request.id, photos, _threshold(request.parameters), [one.name for one in request.outputs])


def _threshold(parameters: Mapping[str, Any]) -> float | None:
    threshold = parameters.get("threshold")
    if threshold is not None and (isinstance(threshold, bool) or not isinstance(threshold, int | float)):
        raise HTTPException(400, f"the parameter threshold is {threshold!r}: expected a score, 0..1")
    return threshold


def _contents(given: _Input, binary: bytes | None) -> list[bytes]:
    """Files: in base64, or each behind its length in 4 bytes."""
    if len(given.shape) != 1:
        raise HTTPException(400, f"the input's shape is {given.shape}: expected [number of photos] for BYTES")
    if binary is None:
        try:
            texts = msgspec.json.decode(given.data, type=list[str] | str)  # TorchServe's clients send one as it is
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise HTTPException(400, "the input's data: expected a list of photos in base64") from error
        texts = [texts] if isinstance(texts, str) else texts
        found = [decoded_base64(text, i) for i, text in enumerate(texts)]
    else:
        found, at = [], 0
        while at + 4 <= len(binary):
            (length,) = struct.unpack_from("<I", binary, at)
            found.append(binary[at + 4 : at + 4 + length])
            at += 4 + length
        if at != len(binary):
            raise HTTPException(400, "the binary data ends within a photo: expected 4 bytes of length before each")
    if len(found) != given.shape[0]:
        raise HTTPException(400, f"the input has {len(found)} photos, and the shape {given.shape}")
    return found


def _pixels(given: _Input, binary: bytes | None) -> list[NDArray[np.uint8]]:
    """Pictures of one size, (n, H, W, 3) RGB."""
    if len(given.shape) != 4 or given.shape[3] != _COLOURS:
        raise HTTPException(400, f"the input's shape is {given.shape}: expected [n, height, width, 3] for UINT8")
    flat = np.frombuffer(binary, np.uint8) if binary is not None else _flat(bytes(given.data))
    if flat.size != math.prod(given.shape):
        raise HTTPException(400, f"the input has {flat.size} numbers: expected those of the shape {given.shape}")
    return list(flat.reshape(given.shape))


def _flat(data: bytes) -> NDArray[np.uint8]:
    """Return the numbers of nested JSON lists, read in pieces, so that other threads have their turn."""
    text, found, at = data.translate(None, b"[] \t\r\n"), bytearray(), 0
    try:
        while at < len(text):
            cut = text.find(b",", at + _PIECE)
            end = len(text) if cut < 0 else cut
            found += bytes(map(int, text[at:end].split(b",")))
            at = end + 1
    except ValueError as error:
        raise HTTPException(400, "the input's data: expected whole numbers, 0..255") from error
    return np.frombuffer(found, np.uint8)


def outputs_of(arrays: Mapping[str, NDArray[Any]], wanted: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the outputs of a response.

    Args:
        arrays: by name, float32, int64, bool or str.
        wanted: their names, in the order of the response; empty for all.

    Raises:
        HTTPException: 400, there is no such output.
    """
    if unknown := [name for name in wanted if name not in arrays]:
        raise HTTPException(400, f"there is no output {unknown[0]!r}: this model has {', '.join(arrays)}")
    return [
        {
            "name": name,
            "datatype": _DATATYPES[values.dtype.kind],
            "shape": list(values.shape),
            "data": values.reshape(-1).tolist(),
        }
        for name, values in ((name, arrays[name]) for name in wanted or arrays)
    ]


def metadata(name: str, version: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return a model's metadata.

    Args:
        name: of the model.
        version: of the model.
        arrays: its outputs for any photo, for their names and shapes.
    """
    outputs = [
        {"name": output, "datatype": _DATATYPES[values.dtype.kind], "shape": [-1, *_free(output, values)]}
        for output, values in arrays.items()
    ]
    inputs = [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    return {"name": name, "versions": [version], "platform": "onlineml", "inputs": inputs, "outputs": outputs}


def _free(output: str, values: NDArray[Any]) -> list[int]:
    """The further sizes of an output; those of objects differ by request."""
    return [-1, 4] if output == "boxes" else [-1] if output in ("labels", "scores") else list(values.shape[1:])
