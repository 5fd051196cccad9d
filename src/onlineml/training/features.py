"""Features of a frozen backbone for each image, computed once and cached on the project's storage.

Features depend on the image's bytes and the network below its last layer, not on labels or that layer: they can be
reused for corrected labels, and by the next version if only its head was trained. They are stored in immutable
safetensors files named by their content, so that any number of processes may compute and read them concurrently, and
a killed process loses only its last file.
"""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from onlineml.arguments.counted import count, part_of
from onlineml.errors import ConfigError, DataError, NotFoundError, StoppedError, TooManyBadImagesError
from onlineml.storage import io
from onlineml.storage.urls import redacted
from onlineml.tasks import task_of
from onlineml.training.probe import collect_features

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import nn

    from onlineml.data.loading.datamodules import ImageDataModule
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Location
    from onlineml.tasks.base import VisionModule

__all__ = ["FeatureStore", "Features", "backbone_key", "contents_of", "features_of", "linear_head", "project_store"]

_VERSION = "1"  # of the file layout and the preprocessing: increase it when either changes
_SHARD = 1024  # images per file; a killed pass loses at most as many
_AT_ONCE = 16  # files in memory at the same time: 80 MB of 1,280 features
_FLOAT = np.dtype("<f4")


class Features(NamedTuple):
    """Features of some images.

    Attributes:
        rows: (n,) int64 of the manifest, without unusable images.
        values: (n, F) float32.
    """

    rows: NDArray[np.int64]
    values: NDArray[np.float32]

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The features of some of the rows, (k, F)."""
        order = np.argsort(self.rows, kind="stable")
        return self.values[order[np.searchsorted(self.rows, rows, sorter=order)]]


def linear_head(model: VisionModule) -> nn.Linear:
    """The last layer of a model, which turns features into logits.

    Raises:
        ConfigError: it is not a linear layer.
    """
    head = model.linear_head()
    if head is None:
        raise ConfigError(
            f"the last layer of {type(model.network).__name__} is not a torch.nn.Linear, so it has no features to "
            "cache: use a network that ends in one"
        )
    return head


def backbone_key(model: VisionModule) -> str:
    """A hash, 32 hex digits, of everything except the image that features depend on.

    Raises:
        ConfigError: the model has no linear head, or no input size.
    """
    linear_head(model)
    fit = ("whole",) if getattr(model, "whole", False) else ()  # else cropped
    facts = (_VERSION, model.backbone_name, model.input_size_hw(), model.mean, model.std, *fit)
    digest = hashlib.sha256(repr(facts).encode())
    for name, tensor in sorted(model.network.state_dict().items()):
        if not name.startswith(f"{model.class_head_name}."):
            array = np.ascontiguousarray(tensor.detach().cpu().contiguous().numpy())
            digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
            digest.update(array.data)
    return digest.hexdigest()[:32]


class FeatureStore:
    """Features of one backbone on storage.

    Args:
        folder: for the features of one backbone.
    """

    def __init__(self, folder: Location) -> None:
        self.folder = folder

    def read(self, contents: Iterable[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """The stored features by content, (F,) each; a damaged file is ignored with a warning."""
        wanted = set(contents)
        found: dict[bytes, NDArray[np.float32]] = {}
        for keys, values in self._files():
            found.update((key, row.copy()) for key, row in zip(keys, values, strict=True) if key in wanted)
        return found

    def _files(self) -> Iterator[tuple[list[bytes], NDArray[np.float32]]]:
        """The contents of each file and their features, a few files in memory at a time."""
        names = [file for file in io.list_files(self.folder) if file.path.endswith(".safetensors")]
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            read = io.read_many([self.folder / file.path for file in some], versions=[file.path for file in some])
            for file, data in zip(some, read, strict=True):
                if isinstance(data, NotFoundError):  # swept since it was listed: computed again
                    continue
                if isinstance(data, OSError):
                    raise data
                yield _unpacked(data, name=redacted(file.url))

    def write(self, contents: Sequence[bytes], values: NDArray[np.float32]) -> None:
        """Store the features, (n, F), of n contents, 32 bytes each; warn where this user may only read."""
        from safetensors.numpy import save  # noqa: PLC0415

        keys = np.frombuffer(b"".join(contents), np.uint8).reshape(-1, 32)
        data = save({"contents": keys, "features": np.ascontiguousarray(values, _FLOAT)})
        name = f"{hashlib.sha256(data).hexdigest()[:32]}.safetensors"
        try:
            io.write_bytes(self.folder / name, data)
        except PermissionError as error:  # a cache: whoever may only look at a project sees as much
            warnings.warn(f"features are computed again the next time: {error}", RuntimeWarning, stacklevel=3)


def project_store(project: Location, model: VisionModule) -> FeatureStore:
    """Return the store in which the folder of a project keeps the features of a model's backbone."""
    return FeatureStore(project / "features" / backbone_key(model))


def _unpacked(data: bytes, *, name: str) -> tuple[list[bytes], NDArray[np.float32]]:
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.numpy import load  # noqa: PLC0415

    try:
        tensors = load(data)
    except SafetensorError:
        tensors = {}
    contents, features = (tensors.get(part, np.zeros(0)) for part in ("contents", "features"))
    if contents.dtype != np.uint8 or contents.shape != (len(features), 32) or features.dtype != _FLOAT:
        warnings.warn(f"{name} contains no valid features: they are recomputed", RuntimeWarning, stacklevel=3)
        return [], np.zeros((0, 0), np.float32)
    return list(map(bytes, contents)), features


def features_of(
    model: VisionModule,
    data: Manifest,
    rows: NDArray[np.int64],
    *,
    store: FeatureStore | None = None,
    num_workers: int = 0,
    max_bad: float = 0.01,
    stop: Callable[[], bool] = bool,
) -> Features:
    """Return the inputs of a model's last layer for images, from the store if possible, else computed and stored.

    Args:
        model: a network with a linear last layer; it is not changed.
        data: a frozen manifest; images of unknown content are identified by their id.
        rows: (n,) int64, of images with or without labels.
        store: the feature store; None for none.
        num_workers: processes that decode; 0 is a thread.
        max_bad: allowed share of unusable images, 0..1.
        stop: called regularly; if it returns True, the computed features are stored and `StoppedError` is raised.

    Raises:
        ConfigError: the model has no linear head, or no input size.
        TooManyBadImagesError: more than `max_bad` of the images are unusable.
        StoppedError: see `stop`.
    """
    contents = contents_of(data, rows)
    known = {} if store is None else store.read(contents)
    place_of: dict[bytes, int] = {}
    for content, row in zip(contents, rows.tolist(), strict=True):
        if content not in known:
            place_of.setdefault(content, row)
    missing = np.array(list(place_of.values()), np.int64)
    content_of = {row: content for content, row in place_of.items()}
    for part, values in _computed(model, data, missing, num_workers=num_workers):
        own = [content_of[row] for row in part.tolist()]
        if store is not None and own:
            store.write(own, values)
        known.update(zip(own, values, strict=True))
        if stop():
            raise StoppedError(
                "stopped on request while computing features; they are stored, so call again to continue"
            )
    good = [place for place, content in enumerate(contents) if content in known]
    _refuse_bad(data, rows, good, max_bad=max_bad)
    n_features = linear_head(model).in_features
    values = np.stack([known[contents[place]] for place in good]) if good else np.zeros((0, n_features), np.float32)
    return Features(rows[good], values)


def contents_of(data: Manifest, rows: NDArray[np.int64]) -> list[bytes]:
    """32 bytes for each image: the hash of its bytes, else of its id."""
    digests, ids = data.column("sha256")[rows].tolist(), data.column("image_id")[rows].tolist()
    return [
        bytes.fromhex(digest) if digest else hashlib.sha256(f"image {name}".encode()).digest()
        for digest, name in zip(digests, ids, strict=True)
    ]


def _computed(
    model: VisionModule, data: Manifest, rows: NDArray[np.int64], *, num_workers: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Rows and their features, part by part."""
    if not len(rows):
        return
    size_hw = model.input_size_hw()
    task = task_of(model)
    datamodule: Callable[..., ImageDataModule] = task.load("datamodule")
    images = datamodule(data, size_hw=size_hw, batch_size=task.predict_batch_size, num_workers=num_workers)
    for start in range(0, len(rows), _SHARD):
        seen: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        batches = images.loader_of(rows[start : start + _SHARD])
        values, _ = collect_features(model, linear_head(model), _noted(batches, seen))
        part = np.concatenate(seen)
        finite = np.isfinite(values.numpy()).all(axis=1)
        if not finite.all():
            ids = data.column("image_id")[part[~finite]].tolist()
            raise DataError(
                f"the network's features are not finite for {count(len(ids), 'image')}, such as {ids[0]}: its "
                "weights have diverged, or belong to another network"
            )
        yield part, values.numpy()


def _noted(batches: Iterable[Any], seen: list[NDArray[np.int64]]) -> Iterator[Any]:
    """Yield the batches that are not empty, and note their rows."""
    for batch in batches:
        if len(batch["index"]):
            seen.append(batch["index"].numpy())
            yield batch


def _refuse_bad(data: Manifest, rows: NDArray[np.int64], good: Sequence[int], *, max_bad: float) -> None:
    n_bad = len(rows) - len(good)
    if n_bad > max_bad * len(rows):
        bad = np.delete(rows, good)
        ids = data.column("image_id")[bad].tolist()
        raise TooManyBadImagesError(
            f"{part_of(n_bad, len(rows), 'image is')} unusable, more than max_bad={max_bad:g} allows, such as "
            f"{', '.join(map(str, ids[:5]))}: see data.check(), or raise max_bad"
        )
