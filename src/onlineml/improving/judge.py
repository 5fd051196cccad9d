"""The gate applied to champion and challenger of a project: as one look at its test set, and to altered images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onlineml.improving.challenger.score import scores_now
from onlineml.improving.gate.decide import gate
from onlineml.improving.gate.looks import LookLog
from onlineml.improving.gate.robustness import robustness, robustness_notes, robustness_reasons

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.evaluation.base import BaseScores
    from onlineml.improving.gate.more import MorePhotos
    from onlineml.improving.gate.policy import Gate
    from onlineml.improving.gate.promise import Look
    from onlineml.improving.gate.result import GateResult
    from onlineml.improving.gate.robustness import Fall
    from onlineml.improving.recipe import Recipe
    from onlineml.project.project import Project

__all__ = ["Judge"]


class Judge:
    """The judgement on one challenger.

    Args:
        settings: the gate's.
        recipe: with the seed and the number of processes.
        data: the dataset that both are scored on.
        lineage: present names of the champion's classes.
        models: champion and challenger.
        scores: of both on the test images.
        more: photos besides those.
    """

    def __init__(
        self,
        settings: Gate,
        recipe: Recipe,
        data: Manifest,
        *,
        lineage: Mapping[str, str],
        models: tuple[Any, Any],
        scores: tuple[BaseScores, BaseScores],
        more: MorePhotos | None = None,
    ) -> None:
        self._settings, self._recipe, self._data, self._lineage = settings, recipe, data, lineage
        self._models, self._scores, self._more = models, scores, more
        self._falls: tuple[Fall, ...] = ()

    def look(self, project: Project, *, champion: str, challenger: str, justified: bool) -> GateResult:
        """Take the next look at the test set of a project, see `onlineml.improving.gate.looks`.

        Args:
            project: with the log of looks.
            champion: name of its version.
            challenger: name of its version.
            justified: whether new classes or corrected labels justify a promotion.
        """
        test = self._data.select(split="test")
        key = {"champion": champion, "challenger": challenger, "dataset": self._data.hash, "test_hash": test.hash}
        ids = (*self._scores[1].image_ids, *(() if self._more is None else self._more.image_ids))
        return LookLog(project.location).taken(
            lambda look: self._judged(look, justified=justified), image_ids=ids, key=key
        )

    def notes(self) -> list[str]:
        """Return sentences on altered test images, if any were scored."""
        return robustness_notes(self._falls)

    def _judged(self, look: Look, *, justified: bool) -> GateResult:
        """Apply the gate; what would be promoted is scored on altered images, too."""
        decided = self._gate(look, justified=justified, blocks=())
        if not decided.promoted or not self._settings.robustness:
            return decided
        self._falls = self._falls or robustness(
            self._models,
            self._scores,
            self._data,
            self._score,
            n_images=self._settings.robustness,
            seed=self._recipe.seed,
        )
        blocks = robustness_reasons(self._falls)
        return self._gate(look, justified=justified, blocks=blocks) if blocks else decided

    def _gate(self, look: Look, *, justified: bool, blocks: Sequence[str]) -> GateResult:
        return gate(
            *self._scores,
            policy=self._settings.policy_for(reason=justified),
            rules=self._settings.rules,
            blocks=blocks,
            look=look,
            more=self._more,
            min_support=self._settings.min_support,
            seed=self._recipe.seed,
        )

    def _score(self, model: Any, sample: Manifest) -> BaseScores:
        return scores_now(
            model, sample, lineage=self._lineage, num_workers=self._recipe.num_workers, n_bootstrap=0, max_bad=1.0
        )
