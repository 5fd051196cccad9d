"""One search: rounds of trials, the mean of weights, the gate."""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from onlineml.errors import ConfigError, StoppedError, TrainingError
from onlineml.improving.challenger.successor import from_champion
from onlineml.improving.improve import challenge
from onlineml.improving.searching.halving import survivors, trial_seconds, widths
from onlineml.improving.searching.result import SearchResult
from onlineml.improving.searching.soup import greedy_soup
from onlineml.improving.searching.trials import Trial, best_trial, read_trials, write_trials
from onlineml.inference.evaluate import evaluate
from onlineml.tasks import task_of
from onlineml.tasks.loading import load_model
from onlineml.training.fit import fit
from onlineml.training.progress import tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.evaluation.base import BaseScores
    from onlineml.improving.gate.policy import Gate
    from onlineml.improving.outcome import Outcome
    from onlineml.improving.recipe import Recipe
    from onlineml.improving.searching.candidates import Candidate
    from onlineml.project.project import Project
    from onlineml.runs.run import Run
    from onlineml.tasks.base import VisionModule
    from onlineml.training.progress import Progress

__all__ = ["Search"]


@dataclass
class Search:
    """One call of `onlineml.search`: finished steps are not repeated when it is resumed."""

    project: Project
    data: Manifest
    candidates: Sequence[Candidate]
    recipe: Recipe
    run: Run
    progress: Progress
    budget_s: float

    def __post_init__(self) -> None:
        """Read what an interrupted search has done."""
        self.trials = read_trials(self.run)
        self.metric: str = task_of(self.data).load("scores").headline[0]

    def result(self, gate: Gate, *, soup: bool) -> SearchResult:
        """Search, and let the gate decide about the winner."""
        for one in {(c.backbone, c.weights): c for c in self.candidates}.values():
            one.new_model(self.data, seed=self.recipe.seed)  # says at once what cannot be had
        last = self._halve()
        model = self._model_of(last)
        averaged = self._averaged(model, last) if soup else []
        outcome = self._challenge(model, gate, backbone=self.candidates[last.candidate].backbone)
        return SearchResult(
            candidates=tuple(self.candidates),
            trials=tuple(self.trials),
            winner=last.candidate,
            averaged=tuple(averaged),
            metric=self.metric,
            outcome=outcome,
            run=self.run.url,
        )

    def _halve(self) -> Trial:
        """Go through the rounds; return the winner's best trial.

        A later round is for longer trials: when that is no longer possible, as on a machine that is busy, it ends.
        """
        counts, last_s = widths(len(self.candidates)), 0.0
        entrants = list(range(len(self.candidates)))
        for i in range(len(counts)):
            budget_s = self._round_seconds(i, counts)
            if budget_s < last_s:
                self._tell(f"No time is left for round {i + 1}")
                break
            ended = [self._trial(one, i, budget_s) for one in entrants]
            n, last_s = counts[i + 1] if i + 1 < len(counts) else 1, budget_s
            entrants = [entrants[j] for j in survivors([self._score(one) for one in entrants], n)]
            if not entrants:
                raise ConfigError(f"no candidate could be trained and scored; the first: {ended[0].error}")
        winner = best_trial(self.trials, entrants[0])
        assert winner is not None  # noqa: S101 - it has a score
        return winner

    def _score(self, candidate: int) -> float | None:
        best = best_trial(self.trials, candidate)
        return None if best is None else best.score

    def _round_seconds(self, i: int, counts: Sequence[int]) -> float:
        """Seconds of each trial of a round; those of a round that was begun are known."""
        for trial in self.trials:
            if trial.round == i:
                return trial.budget_s
        ended = [(t.seconds, t.budget_s) for t in self.trials if t.seconds is not None]
        over_s = sum(s - b for s, b in ended) / len(ended) if ended else 0.0
        left_s = self.budget_s - sum(s for s, _ in ended)
        return round(trial_seconds(left_s, counts[i:], scoring_s=max(over_s, 0.0)), 2)

    def _trial(self, candidate: int, i: int, budget_s: float) -> Trial:
        """Train and score a candidate, unless that is done."""
        trial = next((t for t in self.trials if (t.candidate, t.round) == (candidate, i)), None)
        if trial is not None and trial.ended:
            return trial
        if trial is not None:
            record = self.project.runs.get(trial.run)
        else:
            record = self.project.runs.new(spec={"kind": "trial of a search", "search": self.run.id})
            trial = Trial(candidate=candidate, round=i, run=record.id, budget_s=budget_s)
            self._store(trial)
        settings = self.candidates[candidate]
        self._tell(f"Round {i + 1}, {budget_s:.0f} s: {settings}")
        begin = time.monotonic()
        try:
            model = self._trained(trial, record)
        except StoppedError as error:
            raise StoppedError(f"{error}; call search(project, budget_s=…, run=…) with {self.run.id!r}") from None
        except TrainingError as error:
            ended = msgspec.structs.replace(trial, error=str(error), seconds=time.monotonic() - begin)
        else:
            scores = self._scores(model)
            low, high = scores.interval(self.metric)
            assert model.size_hw is not None  # noqa: S101 - of a trained model
            ended = msgspec.structs.replace(
                trial,
                score=_defined(scores.score(self.metric)),
                low=_defined(low),
                high=_defined(high),
                size=model.size_hw[0],
                seconds=round(time.monotonic() - begin, 2),
            )
            self._tell(f"  {self.metric} {ended.score:.3f} on validation" if ended.score is not None else "  undefined")
        self._store(ended)
        if self.run.stop_requested:
            raise StoppedError(f"stopped on request between two trials; call search again with the run {self.run.id!r}")
        return ended

    def _trained(self, trial: Trial, record: Run) -> VisionModule:
        """Return the model of a trial, which goes on from the candidate's best one."""
        settings = self.candidates[trial.candidate]
        if record.status().get("state") == "finished":  # by an attempt that was killed while it scored
            return load_model(record.location / "model", backbone=settings.own_backbone)
        before = best_trial(self.trials, trial.candidate)
        model = settings.new_model(self.data, seed=self.recipe.seed) if before is None else self._continued(before)
        images = settings.batches_for(
            self.data,
            model,
            size=None if before is None else before.size,
            budget_s=self.budget_s,
            seed=self.recipe.seed + trial.round,
            num_workers=self.recipe.num_workers,
            max_bad=self.recipe.bad_share,
        )
        fit(model, images, run=record, budget_s=trial.budget_s, progress=self.progress)
        return model

    def _continued(self, before: Trial) -> VisionModule:
        model: VisionModule = from_champion(
            self._model_of(before), self.data.class_names, lineage={}, seed=self.recipe.seed
        )
        return model

    def _model_of(self, trial: Trial) -> VisionModule:
        folder = self.project.runs.get(trial.run).location / "model"
        return load_model(folder, backbone=self.candidates[trial.candidate].own_backbone)

    def _scores(self, model: VisionModule) -> BaseScores:
        scores: BaseScores = evaluate(
            model,
            self.data,
            split="val",
            slices=(),
            num_workers=self.recipe.num_workers,
            seed=self.recipe.seed,
            max_bad=self.recipe.bad_share,
        )
        return scores

    def _averaged(self, model: VisionModule, winner: Trial) -> list[int]:
        """Give the winner's model the mean of several; return the candidates whose weights are in it."""
        network = self.candidates[winner.candidate]
        best = [best_trial(self.trials, i) for i in range(len(self.candidates))]
        ranked = [
            trial
            for trial in sorted(filter(None, best), key=lambda t: (t is not winner, -(t.score or 0.0)))
            if trial.size == winner.size
            and self.candidates[trial.candidate].backbone == network.backbone
            and self.candidates[trial.candidate].weights == network.weights
        ]
        models = [model, *(self._model_of(t) for t in ranked[1:])]
        chosen, score = greedy_soup(models, lambda one: self._scores(one).score(self.metric))
        self._tell(f"Mean of the weights of {len(chosen)} of {len(models)} models: {self.metric} {score:.3f}")
        return [ranked[i].candidate for i in chosen]

    def _challenge(self, model: VisionModule, gate: Gate, *, backbone: str) -> Outcome:
        known = self.run.spec.get("challenge")
        record = self.project.runs.get(known) if known else self.project.runs.new()
        self.run.update_spec({"challenge": record.id})
        recipe = dataclasses.replace(self.recipe, backbone=backbone)  # to load a champion of the user's own network
        return challenge(self.project, model, self.data, gate=gate, recipe=recipe, run=record)

    def _store(self, trial: Trial) -> None:
        others = [t for t in self.trials if (t.candidate, t.round) != (trial.candidate, trial.round)]
        self.trials = [*others, trial]
        write_trials(self.run, self.trials)

    def _tell(self, text: str) -> None:
        tell([text], self.run, self.progress)


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
