"""`search`: find good settings within a time budget, and publish the best model through the gate."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec

from onlineml.arguments.checks import flag, instance, seconds, whole
from onlineml.arguments.checks import seed as seed_
from onlineml.errors import ConfigError
from onlineml.improving.gate.policy import Gate
from onlineml.improving.improve import begun_with, check_settings
from onlineml.improving.news import annotated_in
from onlineml.improving.recipe import Recipe
from onlineml.improving.searching.attempt import Search
from onlineml.improving.searching.candidates import Candidate, draw_candidates
from onlineml.improving.searching.halving import affordable, widths
from onlineml.storage.documents import decoded
from onlineml.storage.patience import background
from onlineml.training.progress import check_progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.improving.searching.result import SearchResult
    from onlineml.project.project import Project
    from onlineml.runs.run import Run
    from onlineml.training.progress import Progress

__all__ = ["search"]

_GATE = Gate()
_LEAST_S = {False: 60.0, True: 180.0}  # of a trial of a classifier, and of a detector: shorter ones tell little


@background()
def search(
    project: Project,
    *,
    budget_s: float,
    candidates: Sequence[Candidate] | None = None,
    soup: bool = False,
    gate: Gate = _GATE,
    dataset: str | None = None,
    run: Run | None = None,
    seed: int = 0,
    num_workers: int = 0,
    max_bad: float | None = None,
    progress: Progress = "lines",
) -> SearchResult:
    """Try settings within a time budget by successive halving, and let the gate decide about the best model.

    All candidates are trained for a short time; the better third, by the score on the validation images, goes on for
    three times as long, and so on, until one is left. Its model is published, and replaces the champion if it is
    provably better on the test images, see `onlineml.challenge`. The highest of several validation scores is too high
    by chance; scores on test images are not, since these chose nothing.

    Args:
        project: with annotated images in the splits train, val and test.
        budget_s: seconds of training and validation; scoring on the test images comes on top.
        candidates: the settings to try; None draws as many as the budget allows, see
            `onlineml.improving.searching.draw_candidates`.
        soup: finally average the weights of models of the winner's network and size, if that scores higher.
        gate: the criteria, and whether to promote.
        dataset: hash of a frozen dataset; None freezes the present state.
        run: of an interrupted search, to resume it with the same budget and candidates; None starts a new one.
        seed: of drawing, order, augmentation and new weights, 0..2**31-1.
        num_workers: processes that decode; 0 is a thread.
        max_bad: share of a split's images, and boxes, that may be bad, 0..1; by default the project's.
        progress: of each training, see `onlineml.fit`.

    Returns:
        The leaderboard, and the outcome of the gate; also stored in the run as ``search.json`` and ``search.html``.

    Raises:
        ConfigError: an argument is invalid, the budget is too short for the candidates, a split has no annotated
            images, or no candidate could be trained.
        StoppedError, TooManyBadImagesError: as `onlineml.fit`; after a stop, call again with the run of the search.
    """
    check_settings(project, gate)
    check_progress(progress)
    budget_s, soup = seconds("budget_s", budget_s), flag("soup", soup)
    recipe = Recipe(seed=seed_("seed", seed), num_workers=whole("num_workers", num_workers), max_bad=max_bad)
    spec = _begun(run, {"budget_s": budget_s, "dataset": dataset})
    frozen = dataset or spec.get("dataset")
    data = project.datasets.get(frozen) if frozen else project.freeze(max_bad=max_bad)
    _check_data(data)
    chosen = _candidates(spec, candidates, data, budget_s=budget_s, seed=seed)
    record = project.runs.new() if run is None else run
    listed = [asdict(one) for one in chosen]
    record.update_spec({"kind": "search", "dataset": data.hash, "budget_s": budget_s, "candidates": listed})
    with record.recorded(call="search(project, run=…)"):
        found = Search(project, data, chosen, recipe, record, progress, budget_s).result(gate, soup=soup)
        found.save(record)
    record.set_status("finished", facts={"verdict": found.outcome.verdict, "promoted": found.outcome.promoted})
    return found


def _begun(run: Run | None, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the spec of the search that is resumed, of which what is given must be part."""
    spec = begun_with(run, call="search")
    for name, value in given.items():
        if value is not None and (begun := spec.get(name, value)) != value:
            raise ConfigError(f"{name}={value!r}: the search of this run has {begun!r}; pass that, or run=None")
    return spec


def _check_data(data: Manifest) -> None:
    for split in ("train", "val", "test"):
        if not annotated_in(data, split).any():
            raise ConfigError(
                f"the split {split!r} has no annotated images, and a search needs all three: candidates are compared "
                "on 'val', the winner on 'test'; move some with project.images.move_to_split"
            )


def _listed(given: object) -> tuple[Any, ...]:
    return tuple(given) if isinstance(given, list | tuple) else (given,)


def _candidates(
    spec: Any, given: Sequence[Candidate] | None, data: Manifest, *, budget_s: float, seed: int
) -> tuple[Candidate, ...]:
    """Return those of a search that was begun, those given, or as many as can be afforded.

    Raises:
        ConfigError: they are none, others than those of the search that was begun, or the budget is too short for them.
    """
    if "candidates" in spec:
        stored = msgspec.json.encode(spec["candidates"])
        begun = tuple(decoded(stored, list[Candidate], "the candidates of the search"))
        if given is not None and _listed(given) != begun:
            raise ConfigError(
                f"candidates are not those of this run's search ({'; '.join(map(str, begun))}): leave them out, or use "
                "run=None for a new search"
            )
        return begun
    if given is None:
        least_s = _LEAST_S[not data.kind.label_alone]
        return draw_candidates(data, affordable(budget_s, least_s=least_s), seed=seed)
    listed = _listed(given)
    for one in listed:
        instance("candidates", one, Candidate, "a list of Candidate, such as [Candidate(), Candidate(size=96)]")
    if not listed or len(set(listed)) < len(listed):
        raise ConfigError("candidates is empty or has one twice: expected different ones, or None to draw some")
    if budget_s < (needed := len(listed) * len(widths(len(listed)))):
        raise ConfigError(
            f"budget_s={budget_s:g} for {len(listed)} candidates: expected at least {needed} s, and for a choice that "
            "means something many times as much; or fewer candidates"
        )
    return listed
