"""Files of trained modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from onlineml.registry.versions import publish_to
from onlineml.storage.location import Location, Options, Url

if TYPE_CHECKING:
    from onlineml.registry.versions import ModelVersion
    from onlineml.tasks.base import VisionModule

__all__ = ["WithFiles"]


class WithFiles:
    """The part of `onlineml.tasks.base.VisionModule` that writes its files."""

    def export_files(self, scores: Any = None, *, parent: str | None = None) -> dict[str, bytes]:
        """The files of a published model, see `onlineml.tasks.loading.model_files`."""
        from onlineml.tasks.loading import model_files  # noqa: PLC0415

        return model_files(cast("VisionModule", self), scores, parent=parent)

    def save(self, url: Url, *, scores: Any = None, storage_options: Options = None) -> ModelVersion:
        """Write the model into a new folder, atomically; `onlineml.load_model` reads it.

        Args:
            url: the folder, on any filesystem.
            scores: of `onlineml.evaluate`; adds them, a report and a model card.
            storage_options: fsspec's, for `url`.

        Raises:
            AlreadyExistsError: the folder contains a model.
            ConfigError: the model has no input size: it was not trained, and `size_hw` is not set.
        """
        return publish_to(Location.of(url, storage_options), self.export_files(scores))
