"""One attempt to improve: train, score both, decide, publish, promote; finished steps are not repeated on resume."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from onlineml import registry
from onlineml.errors import ConflictError, StoppedError
from onlineml.improving.challenger.calibrated import calibrate_again
from onlineml.improving.challenger.score import scores_now
from onlineml.improving.challenger.strategy import chosen_how
from onlineml.improving.challenger.successor_pieces import successor_pieces
from onlineml.improving.challenger.train import train_challenger, train_first
from onlineml.improving.gate.leaks import leaked_images
from onlineml.improving.gate.result import INCONCLUSIVE, REJECT
from onlineml.improving.judge import Judge
from onlineml.improving.news import annotated_in, changes_since, corrected, names_of, only_renamed, require_test_images
from onlineml.improving.notes import augmentation_notes, corrected_notes, leak_notes, moved_notes, undecided_notes
from onlineml.improving.outcome import FIRST, RENAMED, Outcome
from onlineml.inference.evaluate import evaluate
from onlineml.registry.publish_once import publish_once
from onlineml.storage.urls import storable
from onlineml.tasks.loading import load_model
from onlineml.training.features import project_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.data.annotations.state import Annotations
    from onlineml.data.manifest.changes import Changes
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.evaluation.base import BaseScores
    from onlineml.improving.gate.more import MorePhotos
    from onlineml.improving.gate.policy import Gate
    from onlineml.improving.recipe import How, Recipe
    from onlineml.project.project import Project
    from onlineml.registry.versions import ModelVersion
    from onlineml.runs.run import Run
    from onlineml.training.features import FeatureStore
    from onlineml.training.progress import Progress

__all__ = ["Attempt"]

_WARM = ("warm", "head", "rows")  # start from the champion's weights


@dataclass(frozen=True)
class Attempt:
    """The arguments of `onlineml.improve`, with the dataset, the state of the log, the run, and further photos."""

    project: Project
    data: Manifest
    state: Annotations
    recipe: Recipe
    gate: Gate
    run: Run
    progress: Progress
    more: MorePhotos | None = None

    def first(self) -> Outcome:
        """Train, publish and promote a first model."""
        model = train_first(self.data, self.recipe, run=self.run, progress=self.progress)
        self._pause()
        return self.take_first(model, how="full")

    def take_first(self, model: Any, *, how: How | Literal[""]) -> Outcome:
        """Publish and promote a trained model where there is no champion."""
        model.reference = storable(self.run.path("challenger"))
        scores = self._evaluate(model) if self._test_images() else None
        version = self._publish(model, scores, parent=None)
        reasons = ["there was no champion to compare with" + ("" if scores else ", and there are no test images")]
        if scores and (doubt := scores.doubt()):
            reasons.append(doubt)
        reasons += leak_notes(leaked_images(self.data))
        promoted = self.gate.promote and self._promote(version, replaces="", reasons=reasons)
        return dataclasses.replace(
            self._nothing_yet(),
            verdict=FIRST,
            reasons=tuple(reasons),
            how=how,
            challenger=version,
            promoted=promoted,
            scores=scores,
        )

    def challenge(self, champion: ModelVersion, before: str) -> Outcome:
        """Train a challenger of the champion, whose dataset was ``before``, and let the gate decide."""
        changes = changes_since(self.project, before, self.data)
        names = names_of(champion, self.data, self.state.lineage)
        if only_renamed(changes, self.data, names, champion.descriptor()["class_names"]):
            return self._renamed(champion, before, [name for name in names if name is not None])
        outcome, changes = self._prepared(champion, before)
        if outcome.verdict:
            return outcome
        old = load_model(champion, backbone=self.recipe.own_backbone)
        recipe = dataclasses.replace(self.recipe, how=self._how(old, changes))
        model = self._train(old, recipe, changes)
        self._pause()
        parent = champion.url if recipe.how in _WARM else None
        found = self._compared(dataclasses.replace(outcome, how=recipe.how), old, model, changes, parent=parent)
        return dataclasses.replace(found, reasons=(*found.reasons, *augmentation_notes(old.kept)))

    def judge(self, model: Any, champion: ModelVersion, before: str) -> Outcome:
        """Publish a trained model, and let the gate decide whether it replaces the champion."""
        outcome, changes = self._prepared(champion, before)
        if outcome.verdict:
            return outcome
        old = load_model(champion, backbone=self.recipe.own_backbone)
        return self._compared(outcome, old, model, changes, parent=None)

    def decide(self, champion: ModelVersion, challenger: ModelVersion, before: str) -> Outcome:
        """Let the gate decide between two published models."""
        outcome, changes = self._prepared(champion, before)
        outcome = dataclasses.replace(outcome, challenger=challenger.version)
        if outcome.verdict:
            return outcome
        old, new = (load_model(one, backbone=self.recipe.own_backbone) for one in (champion, challenger))
        scores = self._scores_of(old), self._scores_of(new)
        return self._decide(dataclasses.replace(outcome, scores=scores[1]), (old, new), scores, changes)

    def _renamed(self, champion: ModelVersion, before: str, names: Sequence[str]) -> Outcome:
        """Publish the champion's weights under the present names of its classes, and promote that version."""
        model = load_model(champion, backbone=self.recipe.own_backbone)
        calibration = model.calibration
        model.rename_classes(names)
        model.manifest_hash = self.data.hash
        calibrate_again(model, calibration, self.data, self.recipe)
        scores = self._scores_of(model) if self._test_images() else None
        version = self._publish(model, scores, parent=champion.descriptor().get("parent"))  # no further generation
        reasons = [f"classes were renamed since the champion, and nothing else changed: {version} has its weights"]
        promoted = self.gate.promote and self._promote(version, replaces=champion.version, reasons=reasons)
        return dataclasses.replace(
            self._nothing_yet(),
            verdict=RENAMED,
            reasons=tuple(reasons),
            champion=champion.version,
            champion_dataset=before,
            challenger=version,
            promoted=promoted,
            scores=scores,
        )

    # ---- steps ----

    def _prepared(self, champion: ModelVersion, before: str) -> tuple[Outcome, Changes | None]:
        """Return the outcome so far, with a verdict if nothing can be compared, and the changes since the champion."""
        changes = changes_since(self.project, before, self.data)
        outcome = dataclasses.replace(
            self._nothing_yet(),
            champion=champion.version,
            champion_dataset=before,
            changes={} if changes is None else changes.counts(),
        )
        require_test_images(self.data)
        leaked = leaked_images(self.data)
        if leaked:  # do not train: the comparison would favour a model that memorizes
            outcome = dataclasses.replace(outcome, verdict=REJECT, reasons=tuple(leak_notes(leaked)))
        return outcome, changes

    def _compared(
        self, outcome: Outcome, champion: Any, model: Any, changes: Changes | None, *, parent: str | None
    ) -> Outcome:
        """Score both models on the same images, publish the new one, and apply the gate."""
        model.reference = storable(self.run.path("challenger"))
        calibrate_again(model, champion.calibration, self.data, self.recipe)
        scores, before_scores = self._evaluate(model), self._scores_of(champion)
        self._pause()
        version = self._publish(model, scores, parent=parent)
        trained = self.run.spec.get("trained", {})
        outcome = dataclasses.replace(outcome, challenger=version, scores=scores, trained=trained)
        return self._decide(outcome, (champion, model), (before_scores, scores), changes)

    def _how(self, champion: Any, changes: Changes | None) -> How:
        """Choose how the challenger is trained; a resumed attempt keeps its choice."""
        how: How | None = self.run.spec.get("how")
        if how is None and self.recipe.how == "auto":
            in_train = self.data.column("image_id")[self.data.column("split") == "train"]
            mended = set() if changes is None else set(changes.images("relabelled"))
            share = len(mended.intersection(in_train)) / max(len(in_train), 1)
            how = chosen_how(self.project, champion, self.data, self.recipe, self.state, relabelled=share)
        how = how or self.recipe.how
        self.run.update_spec({"how": how})
        return how

    def _train(self, champion: Any, recipe: Recipe, changes: Changes | None) -> Any:
        return train_challenger(
            champion,
            self.data,
            recipe,
            run=self.run,
            lineage=self.state.lineage,
            changed=self._changed(changes),
            known=successor_pieces(self.project).known_classes(self.state, self.data),
            store=self._store(champion, recipe),
            progress=self.progress,
        )

    def _decide(
        self, outcome: Outcome, models: tuple[Any, Any], scores: tuple[BaseScores, BaseScores], changes: Changes | None
    ) -> Outcome:
        """Apply the gate's verdict and return the outcome with it."""
        known = set(scores[0].class_names)
        new_classes = tuple(name for name in scores[1].class_names if name not in known)
        judge = Judge(
            self.gate, self.recipe, self.data, lineage=self.state.lineage, models=models, scores=scores, more=self.more
        )
        reason = bool(new_classes) or (changes is not None and corrected(changes, self.data))
        decided = judge.look(self.project, champion=outcome.champion, challenger=outcome.challenger, justified=reason)
        reasons = [*decided.reasons, *judge.notes(), *moved_notes(changes), *corrected_notes(changes, self.data)]
        if decided.verdict == INCONCLUSIVE and self.more is None:
            reasons += undecided_notes(self.data)
        promoted = False
        if decided.promoted and self.gate.promote:
            promoted = self._promote(outcome.challenger, replaces=outcome.champion, reasons=reasons)
        elif decided.promoted:
            reasons.append("promote=False: the champion was not replaced")
        return dataclasses.replace(
            outcome,
            verdict=decided.verdict,
            reasons=tuple(reasons),
            promoted=promoted,
            gate=decided,
            new_classes=new_classes,
        )

    def _store(self, champion: Any, recipe: Recipe) -> FeatureStore | None:
        """Return the feature store, if the recipe needs it."""
        fits = recipe.how in {"head", "rows"} and successor_pieces(self.project).fits_heads
        return project_store(self.project.location, champion) if fits else None

    def _changed(self, changes: Changes | None) -> list[str]:
        """Images that changed since the champion was trained; all if that is unknown."""
        if changes is None:
            return [str(image_id) for image_id in self.data.column("image_id")]
        return [*changes.images("new"), *changes.images("relabelled"), *changes.images("moved")]

    def _test_images(self) -> bool:
        return bool(annotated_in(self.data, "test").any())

    def _evaluate(self, model: Any) -> BaseScores:
        scores: BaseScores = evaluate(model, self.data, **self._options())
        return scores

    def _scores_of(self, champion: Any) -> BaseScores:
        return scores_now(champion, self.data, lineage=self.state.lineage, **self._options())

    def _options(self) -> dict[str, Any]:
        """Return the options of both models' evaluation."""
        recipe = self.recipe
        workers = {"num_workers": recipe.num_workers, "max_bad": recipe.bad_share}
        return {"slices": self.gate.slices, "seed": recipe.seed, **workers}

    def _publish(self, model: Any, scores: BaseScores | None, *, parent: str | None) -> str:
        """Publish a model under the alias ``challenger``; return the version's name."""
        project = self.project
        version = publish_once(self.run, project.location, model, scores, parent=parent).version
        if registry.aliases(project.location).get("challenger") != version:
            with contextlib.suppress(ConflictError):  # somebody else promoted a challenger at the same time
                project.promote(version, alias="challenger", reason=f"trained by the run {self.run.id}")
        return version

    def _promote(self, version: str, *, replaces: str, reasons: list[str]) -> bool:
        """Make the challenger the champion, unless the champion has changed since the comparison."""
        now = self.project.champion()
        if now is not None and now.version == version:  # an earlier attempt did it
            return True
        try:
            self.project.promote(version, replaces=replaces, reason=f"{reasons[0]} (run {self.run.id})")
        except ConflictError as error:
            reasons.insert(0, f"not promoted: {error}")
            return False
        return True

    def _pause(self) -> None:
        if self.run.stop_requested:
            raise StoppedError("stopped on request between two steps; call improve again with this run")

    def _nothing_yet(self) -> Outcome:
        return Outcome(
            verdict="",
            promoted=False,
            reasons=(),
            how="",
            task=self.project.task,
            champion="",
            challenger="",
            dataset=self.data.hash,
            champion_dataset="",
            run=self.run.url,
        )
