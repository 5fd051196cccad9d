"""Classes that the annotator of an image could know: classes added later may be on the image all the same."""

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
    """The classes that there were when each image was annotated last, for `onlineml.DetectionDataModule`.

    A class is there from the entry on that first names it: an import's list of classes, an upload, or `add_class`. Who
    annotates or accepts an image afterwards is taken to have looked for it.

    Args:
        state: of the project's log.
        data: a frozen dataset of the project.

    Returns:
        (N, C) bool, by the images and classes of the dataset; images that are not in the log know all classes.
    """
    births = state.folded.classes.births
    born = np.array([births.get(state.lineage.get(name, name), -1) for name in data.class_names], np.int64)
    ids = pa.array(data.column("image_id"), pa.string())
    at = pc.index_in(ids, value_set=state.table["image_id"]).fill_null(-1).to_numpy()
    places = np.append(state.folded.images.places, np.iinfo(np.int64).max)[at]  # the last for those that are not there
    known: NDArray[np.bool_] = born[None, :] <= places[:, None]
    return known
