"""One attempt to improve: train, score both, decide, publish, promote; each step is found done when it is repeated."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onlineml import registry
from onlineml.errors import ConflictError, DataError, StoppedError
from onlineml.improving.challenger.known_classes import known_classes
from onlineml.improving.challenger.score import scores_now
from onlineml.improving.challenger.strategy import chosen_how
from onlineml.improving.challenger.train import train_challenger, train_first
from onlineml.improving.gate.decide import gate
from onlineml.improving.gate.leaks import leaked_images
from onlineml.improving.gate.result import REJECT
from onlineml.improving.outcome import FIRST, Outcome
from onlineml.improving.review.features import project_store
from onlineml.inference.evaluate import evaluate
from onlineml.registry.publish_once import publish_once
from onlineml.tasks.classification import ImageClassifier
from onlineml.tasks.loading import load_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.data.annotations.state import Annotations
    from onlineml.data.manifest.changes import Changes
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.evaluation.types import AnyScores
    from onlineml.improving.challenger.train import Recipe
    from onlineml.improving.gate.decide import Policy, Rule
    from onlineml.improving.gate.result import GateResult
    from onlineml.improving.review.features import FeatureStore
    from onlineml.project.project import Project
    from onlineml.registry.versions import ModelVersion
    from onlineml.runs.run import Run

__all__ = ["Attempt", "GateOptions"]

_WARM = ("warm", "head", "rows")  # ways that go on from the champion's weights


@dataclass(frozen=True)
class GateOptions:
    """What the gate is asked.

    Attributes:
        policy: or two, without and with a reason of its own.
        rules: the user's.
        min_support: see `onlineml.improving.gate.gate`.
        slices: see `onlineml.evaluate`.
        promote: whether a verdict is carried out.
    """

    policy: Policy | tuple[Policy, Policy]
    rules: tuple[Rule, ...]
    min_support: int
    slices: Sequence[str] | None
    promote: bool

    def policy_for(self, *, reason: bool) -> Policy:
        """The policy of a run that has, or has not, another reason to promote than the score."""
        return self.policy[reason] if isinstance(self.policy, tuple) else self.policy


@dataclass(frozen=True)
class Attempt:
    """What `onlineml.improve` was asked, with the dataset, the state of the log and the run."""

    project: Project
    data: Manifest
    state: Annotations
    recipe: Recipe
    gate_options: GateOptions
    run: Run

    def first(self) -> Outcome:
        """Train, publish and promote a model where there is no champion."""
        model = train_first(self.data, self.recipe, run=self.run)
        self._pause()
        model.reference = self.run.path("challenger")
        scores = self._evaluated(model) if self._test_images() else None
        version = self._published(model, scores, parent=None)
        reasons = ["there was no champion to compare with" + ("" if scores else ", and there are no test images")]
        reasons += _leak_notes(leaked_images(self.data))
        promoted = self.gate_options.promote and self._promoted(version, replaces="", reasons=reasons)
        return dataclasses.replace(
            self._nothing_yet(),
            verdict=FIRST,
            reasons=tuple(reasons),
            how="full",
            challenger=version,
            promoted=promoted,
            scores=scores,
        )

    def challenge(self, champion: ModelVersion, before: str, *, auto: bool) -> Outcome:
        """Train a challenger, and let the gate decide."""
        changes = self._changes(before)
        outcome = dataclasses.replace(
            self._nothing_yet(),
            champion=champion.version,
            champion_dataset=before,
            changes={} if changes is None else changes.counts(),
        )
        if not self._test_images():
            raise DataError(
                "no labelled image is in the split 'test', so that nobody could tell which model is better: label some "
                "with split='test', or move some with project.move_to_split"
            )
        leaked = leaked_images(self.data)
        if leaked:  # nothing is trained: the comparison would flatter what learns by heart
            return dataclasses.replace(outcome, verdict=REJECT, reasons=tuple(_leak_notes(leaked)))
        old = load_model(champion, backbone=self.recipe.own_backbone)
        recipe = self._recipe(old, changes, auto=auto)
        model = self._challenger(old, recipe, changes)
        self._pause()
        model.reference = self.run.path("challenger")
        scores = self._evaluated(model)
        before_scores = self._scores_of(old)
        self._pause()
        version = self._published(model, scores, parent=champion.url if recipe.how in _WARM else None)
        new_classes = tuple(name for name in scores.class_names if name not in set(before_scores.class_names))
        relabelled = bool(changes and changes.counts()["relabelled"])
        decided = self._decided(before_scores, scores, reason=bool(new_classes) or relabelled)
        reasons = [*decided.reasons, *_moved_notes(changes)]
        promoted = False
        if decided.promoted and self.gate_options.promote:
            promoted = self._promoted(version, replaces=champion.version, reasons=reasons)
        elif decided.promoted:
            reasons.append("promote=False: the champion was left where it is")
        return dataclasses.replace(
            outcome,
            verdict=decided.verdict,
            reasons=tuple(reasons),
            how=recipe.how,
            challenger=version,
            promoted=promoted,
            scores=scores,
            gate=decided,
            new_classes=new_classes,
            trained=self.run.spec.get("trained", {}),
        )

    # ---- steps ----

    def _recipe(self, champion: Any, changes: Changes | None, *, auto: bool) -> Recipe:
        """How the challenger is trained; an interrupted attempt goes on as it began."""
        how = self.run.spec.get("how")
        if how is None and auto:
            in_train = self.data.column("image_id")[self.data.column("split") == "train"]
            mended = set() if changes is None else set(changes.images("relabelled"))
            share = len(mended.intersection(in_train)) / max(len(in_train), 1)
            how = chosen_how(self.project, champion, self.data, self.recipe, self.state, relabelled=share)
        how = how or self.recipe.how
        self.run.update_spec({"how": how})
        return dataclasses.replace(self.recipe, how=how)

    def _challenger(self, champion: Any, recipe: Recipe, changes: Changes | None) -> Any:
        return train_challenger(
            champion,
            self.data,
            recipe,
            run=self.run,
            lineage=self.state.lineage,
            changed=self._changed(changes),
            known=known_classes(self.state, self.data) if self.project.task == "detection" else None,
            store=self._store(champion, recipe),
        )

    def _decided(self, before: AnyScores, after: AnyScores, *, reason: bool) -> GateResult:
        gate_options = self.gate_options
        return gate(
            before,
            after,
            policy=gate_options.policy_for(reason=reason),
            rules=gate_options.rules,
            min_support=gate_options.min_support,
            seed=self.recipe.seed,
        )

    def _store(self, champion: Any, recipe: Recipe) -> FeatureStore | None:
        """Where features are kept, for the ways that need them."""
        if recipe.how not in {"head", "rows"} or not isinstance(champion, ImageClassifier):
            return None
        return project_store(self.project, champion)

    def _changes(self, before: str) -> Changes | None:
        """What changed since the champion's dataset; None where that is not here."""
        if before not in self.project.datasets():
            return None
        return self.project.changes(self.project.manifest(before), self.data)

    def _changed(self, changes: Changes | None) -> list[str]:
        """Images that the champion does not know as they are; where nobody can tell, all of them."""
        if changes is None:
            return [str(image_id) for image_id in self.data.column("image_id")]
        return [*changes.images("new"), *changes.images("relabelled"), *changes.images("moved")]

    def _test_images(self) -> bool:
        said = self.data.boxes().annotated if self.data.task == "detection" else self.data.label_ids() >= 0
        return bool((said & (self.data.column("split") == "test")).any())

    def _evaluated(self, model: Any) -> AnyScores:
        recipe = self.recipe
        scores: AnyScores = evaluate(
            model,
            self.data,
            slices=self.gate_options.slices,
            num_workers=recipe.num_workers,
            seed=recipe.seed,
            max_bad=recipe.max_bad,
        )
        return scores

    def _scores_of(self, champion: Any) -> AnyScores:
        recipe = self.recipe
        return scores_now(
            champion,
            self.data,
            lineage=self.state.lineage,
            slices=self.gate_options.slices,
            num_workers=recipe.num_workers,
            seed=recipe.seed,
            max_bad=recipe.max_bad,
        )

    def _published(self, model: Any, scores: AnyScores | None, *, parent: str | None) -> str:
        """The new version's name; it is the challenger of this moment."""
        project = self.project
        version = publish_once(self.run, project, model, scores, parent=parent).version
        if registry.aliases(project.url, storage_options=project.storage_options).get("challenger") != version:
            with contextlib.suppress(ConflictError):  # somebody else's is the challenger of this moment
                project.promote(version, alias="challenger", reason=f"trained by the run {self.run.id}")
        return version

    def _promoted(self, version: str, *, replaces: str, reasons: list[str]) -> bool:
        """Make the challenger the champion, if that is still the one that it was compared with."""
        now = self.project.champion
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
            raise StoppedError("asked to stop between two steps; call improve again with this run")

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


def _leak_notes(leaked: Sequence[str]) -> list[str]:
    if not leaked:
        return []
    text = (
        f"{len(leaked):,} test images are also training images, byte by byte: {', '.join(leaked[:3])}; delete one of "
        "each, or move both to one split with project.move_to_split"
    )
    return [text]


def _moved_notes(changes: Changes | None) -> list[str]:
    if changes is None or changes.comparable:
        return []
    text = (
        "images were moved into the test split, or out of it, since the champion: it may have learned what it is "
        "tested on, which speaks for it"
    )
    return [text]
