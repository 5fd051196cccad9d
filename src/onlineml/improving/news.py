"""News since the champion: something to learn, other names for the same classes, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.arguments.counted import count
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError
from onlineml.improving.challenger.current_names import current_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from onlineml.data.manifest.changes import Changes
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.project.project import Project
    from onlineml.registry.versions import ModelVersion

__all__ = [
    "annotated_in",
    "changes_since",
    "corrected",
    "names_of",
    "nothing_new",
    "only_renamed",
    "require_test_images",
    "require_training_images",
]


def changes_since(project: Project, before: str, data: Manifest) -> Changes | None:
    """Return the changes since the dataset with the hash ``before``; None if the project does not have it."""
    if before not in project.datasets.list():
        return None
    return project.datasets.changes(project.datasets.get(before), data)


def names_of(champion: ModelVersion, data: Manifest, lineage: Mapping[str, str]) -> list[str | None]:
    """The present names of a champion's classes; None for one that is gone.

    Raises:
        DataError: none of them exists any more.
    """
    former = champion.descriptor()["class_names"]
    names = current_names(former, lineage, known=data.class_names)
    if not any(names):
        raise DataError(
            f"the champion {champion.version} knows none of the {len(data.class_names)} classes of today (it knows "
            f"{examples(former)}): no comparison is possible; train a model with fit, and make it the champion with "
            "project.promote(project.publish(model), reason=…)"
        )
    return names


def nothing_new(changes: Changes | None, data: Manifest, names: Sequence[str | None], former: Sequence[str]) -> str:
    """Say why there is nothing to learn; ``""`` if there is something, or if that is unknown."""
    if changes is None or list(names) != list(former) or _to_learn(changes, data):
        return ""
    told = [f"{count(n, 'new image is')} not annotated"] if (n := changes.counts()["new"]) else []
    told += [f"no image shows {examples(changes.new_classes)}"] if changes.new_classes else []
    return "; ".join(told) or "no image and no annotation has changed"


def only_renamed(changes: Changes | None, data: Manifest, names: Sequence[str | None], former: Sequence[str]) -> bool:
    """Return whether the classes have other names than the champion was trained with, and there is nothing to learn."""
    renamed = list(names) != list(former) and None not in names and len(set(names)) == len(names)
    return renamed and changes is not None and not _to_learn(changes, data)


def _to_learn(changes: Changes, data: Manifest) -> bool:
    aside = _aside(data)
    rows = [row for row in changes.table.to_pylist() if row["image_id"] not in aside or _was_learned(row)]
    new = {row["image_id"] for row in rows if row["change"] == "new"}
    annotated = set(data.column("image_id")[data.kind.is_annotated(data.table)])
    return len(new) < len(rows) or bool(new & annotated) or bool(changes.gone_classes)


def corrected(changes: Changes, data: Manifest) -> bool:
    """Return whether a label of an image in a split is another one, or there for the first time."""
    return not set(changes.images("relabelled")) <= _aside(data)


def _aside(data: Manifest) -> set[str]:
    """The images in no split: no model learns from these."""
    splits = zip(data.column("image_id"), data.column("split"), strict=True)
    return {str(image_id) for image_id, split in splits if split is None}


def _was_learned(row: Mapping[str, str]) -> bool:
    """Return whether a changed image was taken away from a model's training."""
    return row["change"] == "moved" and row["before"] in {"train", "val"}


def annotated_in(data: Manifest, split: str) -> NDArray[np.bool_]:
    """(N,) bool: the annotated images of a split."""
    found: NDArray[np.bool_] = data.kind.is_annotated(data.table) & (data.column("split") == split)
    return found


def require_training_images(data: Manifest) -> None:
    """Check that there is something to train on.

    Raises:
        DataError: no image of the split ``train`` is annotated.
    """
    if not annotated_in(data, "train").any():
        raise DataError(
            f"there is nothing to train on: no annotated image of the {len(data):,} in the project is in the split "
            "'train'; add labelled photos with project.add or project.images.upload, or label some"
        )


def require_test_images(data: Manifest) -> None:
    """Check that there is something to compare models on.

    Raises:
        DataError: no image of the split ``test`` is annotated.
    """
    if not annotated_in(data, "test").any():
        raise DataError(
            "the split 'test' has no labelled image to compare the models on: upload some with split='test', or move "
            "some with project.images.move_to_split"
        )
