"""Classifiers that know the tiny photos, as fixtures of what only predicts with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tiny import CLASSES
from tiny_labels import knowing_model, label_manifest
from tiny_projects import colour_model, fitted

if TYPE_CHECKING:
    import onlineml as oml
    from onlineml.tasks.base import VisionModule


@pytest.fixture(scope="package")
def known(manifest: oml.Manifest) -> oml.ImageClassifier:
    return fitted(colour_model(CLASSES), manifest)


@pytest.fixture(scope="package")
def labelled(tmp_path_factory: pytest.TempPathFactory, decoded_photos: None) -> tuple[VisionModule, oml.Manifest]:
    data = label_manifest(tmp_path_factory.mktemp("labels"))
    return knowing_model(data), data
