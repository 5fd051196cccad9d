"""The pieces of the toy task; apart, as the table of tasks must not load torch."""

from __future__ import annotations

from onlineml import ClassificationDataModule, ImageClassifier


class ToyClassifier(ImageClassifier):
    task = "toy"


class ToyDataModule(ClassificationDataModule):
    task = "toy"
