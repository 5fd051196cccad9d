"""Classes that existed when an image was annotated; later classes may be on the image without a box."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onlineml.data.annotations.state import Annotations
    from onlineml.data.manifest.manifest import Manifest

__all__ = ["known_classes"]


def known_classes(state: Annotations, data: Manifest) -> NDArray[np.bool_]:
    """The classes that existed when each image was last annotated, for `onlineml.DetectionDataModule`.

    A class exists from the first entry that names it: an import's list of classes, an upload, or `classes.add`. An
    image annotated or accepted afterwards is assumed to have been searched for it.

    Args:
        state: of the project's log.
        data: a frozen dataset of the project.

    Returns:
        (N, C) bool, by images and classes of the dataset; all True for images that are not in the log.
    """
    births = state.folded.classes.births
    born = np.array([births.get(state.lineage.get(name, name), -1) for name in data.class_names], np.int64)
    ids = pa.array(data.column("image_id"), pa.string())
    at = pc.index_in(ids, value_set=state.table["image_id"]).fill_null(-1).to_numpy()
    places = np.append(state.folded.images.places, np.iinfo(np.int64).max)[at]  # the last for images not in the log
    known: NDArray[np.bool_] = born[None, :] <= places[:, None]
    return known
