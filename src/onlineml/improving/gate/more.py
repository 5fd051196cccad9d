"""Photos besides the test images that decide between two models, although most of them are not labelled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onlineml.arguments.counted import count
from onlineml.errors import ConfigError
from onlineml.evaluation.comparison.counts import PairedCounts

if TYPE_CHECKING:
    from onlineml.evaluation.comparison.samples import PairedSamples

__all__ = ["MorePhotos"]


@dataclass(frozen=True, eq=False)
class MorePhotos:
    """Photos drawn like the test images, of which those on which the two models differ were labelled.

    Where both models say the same, both are right or both are wrong, whatever the photo shows: the difference of their
    accuracies is known without its label.

    Attributes:
        counts: fixed and broken photos by group, those without a label included; no group has test images.
        image_ids: of all these photos.
        n_labelled: number of photos on which the models differ.
    """

    counts: PairedCounts
    image_ids: tuple[str, ...]
    n_labelled: int

    def joined(self, evidence: PairedCounts | PairedSamples, *, score: str) -> PairedCounts:
        """Return the counts of the test images and of these photos.

        Raises:
            ConfigError: the evidence is not of right and wrong images, as that of average precision.
        """
        if not isinstance(evidence, PairedCounts):
            raise ConfigError(
                f"score={score!r}: photos without labels say nothing about it; expected one of right and wrong images, "
                "such as 'accuracy'"
            )
        return evidence.joined(self.counts)

    def in_words(self, n_images: int) -> str:
        """Return a sentence, for a gate with a number of test images."""
        fixed, broken = int(self.counts.fixed.sum()), int(self.counts.broken.sum())
        return (
            f"decided by {count(n_images, 'test image')} and {count(len(self.image_ids), 'further photo')}, of which "
            f"the {self.n_labelled:,} on which the models differ were labelled: {fixed:,} fixed, {broken:,} broken"
        )

    def to_record(self) -> dict[str, Any]:
        """The numbers as plain JSON values."""
        return {"n_images": len(self.image_ids), "n_labelled": self.n_labelled}
