"""Sentences of an attempt about its test images: what is wrong with them, and what has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.arguments.counted import count
from onlineml.tasks import task_of
from onlineml.tasks.kept_settings import OWN_AUGMENTATION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.data.manifest.changes import Changes
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.tasks.kept_settings import KeptSettings

__all__ = ["augmentation_notes", "corrected_notes", "leak_notes", "moved_notes", "undecided_notes"]


def augmentation_notes(kept: KeptSettings) -> list[str]:
    """Return a sentence on an augmentation that cannot be stored."""
    if kept.images.augment != OWN_AUGMENTATION:
        return []
    return ["the champion's own augmentation is code and was not stored: the challenger was trained with 'auto'"]


def leak_notes(leaked: Sequence[str]) -> list[str]:
    """Return a sentence on test images that are also training images."""
    if not leaked:
        return []
    text = (
        f"{count(len(leaked), 'test image is')} also training images, with the same bytes: {', '.join(leaked[:3])}; "
        "delete one of each, or move both to one split with project.images.move_to_split"
    )
    return [text]


def moved_notes(changes: Changes | None) -> list[str]:
    """Return a sentence on images that were moved into the test split."""
    if changes is None or not changes.moved_to("test"):
        return []
    text = (
        "images were moved into the test split since the champion was trained: it may have been trained on them, which "
        "favours it"
    )
    return [text]


def undecided_notes(data: Manifest) -> list[str]:
    """Return a sentence on photos that may decide where the test images do not."""
    n = int(((data.column("split") == "test") & ~data.kind.is_annotated(data.table)).sum())
    if not n or not task_of(data).answers:
        return []
    text = (
        f"{count(n, 'unlabelled photo')} of the split 'test' may decide: onlineml.deciding_queue(project) asks for "
        "those on which the two models differ, and with the answers onlineml.decide(project) looks again"
    )
    return [text]


def corrected_notes(changes: Changes | None, data: Manifest) -> list[str]:
    """Return a sentence on test labels that were corrected since the champion's dataset."""
    if changes is None:
        return []
    test_ids = data.column("image_id")[data.column("split") == "test"]
    n = len(set(changes.images("relabelled")).intersection(test_ids))
    if not n:
        return []
    text = (
        f"{count(n, 'test label was')} corrected since the champion's dataset: both models are scored by the new "
        "ones, and earlier looks count; the promise holds if no label was corrected because of what one of the two "
        "models says"
    )
    return [text]
