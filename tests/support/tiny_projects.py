"""Projects of a few drawn photos, with classifiers that know colours by heart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

import onlineml as oml
from onlineml.models.slim_resnet import SlimResNet
from tiny import CLASSES, make_photos

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

COUNTS = {"train": 12, "val": 6, "test": 10}  # of each class
FACTORY = "tiny_projects:colour_net"


class ColourNet(nn.Module):
    """How much more there is of one colour than of another, and a linear head: nothing of the first part is trained."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3, 6, 1, bias=False)
        pairs = [(a, b) for a in range(3) for b in range(3) if a != b]
        with torch.no_grad():
            self.mix.weight.zero_()
            for i, (more, less) in enumerate(pairs):
                self.mix.weight[i, more], self.mix.weight[i, less] = 1.0, -1.0
        self.head = nn.Linear(6, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.mix(x)).mean((2, 3)))


def colour_net(*, num_classes: int) -> nn.Module:
    """A factory, as a user's package would have."""
    return ColourNet(num_classes)


def colour_project(
    folder: Path,
    *,
    classes: tuple[str, ...] = CLASSES,
    counts: dict[str, int] = COUNTS,
    labels: Mapping[str, str | None] | None = None,
) -> oml.Project:
    """A project of imported photos of the classes; some of their labels, by the end of the uri, may be others."""
    make_photos(folder / "photos", counts=counts, classes=classes)
    found = oml.Manifest.from_folders(str(folder / "photos"))
    by_uri = dict(zip(found.column("uri"), found.column("image_id"), strict=True))
    project = oml.Project.create(str(folder / "project"), task="classification")
    project.add(found.with_labels({by_uri[uri]: label for uri, label in (labels or {}).items()}))
    return project


def image_of(project: oml.Project, uri: str) -> str:
    """The id of the image whose uri ends so."""
    table = project.labels.state().table
    ids = [
        i for i, own in zip(table["image_id"].to_pylist(), table["uri"].to_pylist(), strict=True) if own.endswith(uri)
    ]
    (found,) = ids
    return str(found)


def colour_model(class_names: Sequence[str], *, size: int = 32) -> oml.ImageClassifier:
    """Untrained, with an input size."""
    model = oml.ImageClassifier(class_names=class_names, backbone=FACTORY)
    model.size_hw = (size, size)
    return model.eval()


def fitted(model: oml.ImageClassifier, data: oml.Manifest) -> oml.ImageClassifier:
    """The model with a head that was fitted to the training images."""
    from onlineml.training.features import features_of
    from onlineml.training.probe import probe_head

    rows = np.flatnonzero((data.column("split") == "train") & (data.label_ids() >= 0))
    features = features_of(model, data, rows)
    labels = torch.tensor(data.label_ids()[features.rows])
    probe_head(model, model.head, (torch.from_numpy(features.values), labels), None)  # type: ignore[arg-type]
    model.manifest_hash = data.hash
    return model


def labels_of(project: oml.Project) -> dict[str, str]:
    """The present label of each image."""
    table = project.labels.state().table
    return dict(zip(table["image_id"].to_pylist(), table["label"].to_pylist(), strict=True))


def narrow_net(*, num_classes: int) -> nn.Module:
    """A factory of a detector's backbone that is quick to train."""
    return SlimResNet(num_classes, width=8, depths=(1, 1, 1, 1))


def with_champion(project: oml.Project) -> oml.Project:
    """The project with a champion that knows its labels of now."""
    data = project.freeze()
    model = fitted(colour_model(data.class_names), data)
    project.promote(project.publish(model, oml.evaluate(model, data)), reason="the first")
    return project
