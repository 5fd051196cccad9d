"""`improve`: corrections and new images in, a provably better champion out, or none and the reasons."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from onlineml import registry
from onlineml.errors import ConfigError, StoppedError
from onlineml.improving.attempt import Attempt, GateOptions
from onlineml.improving.challenger.train import HOWS, Recipe
from onlineml.improving.gate.decide import Better, NotWorse
from onlineml.improving.outcome import UNCHANGED, Outcome
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from onlineml.improving.challenger.train import How
    from onlineml.improving.gate.decide import Policy, Rule
    from onlineml.project.project import Project
    from onlineml.registry.versions import ModelVersion
    from onlineml.runs.run import Run
    from onlineml.training.progress import Progress

__all__ = ["improve"]


def improve(
    project: Project,
    *,
    how: How | Literal["auto"] = "auto",
    policy: Policy | Literal["auto", "better", "not_worse"] = "auto",
    margin: float = 0.01,
    rules: Sequence[Rule] = (),
    min_support: int = 30,
    slices: Sequence[str] | None = None,
    epochs: int | None = None,
    budget_s: float | None = None,
    replay: int | None = None,
    size: int | None = None,
    batch_size: int | None = None,
    backbone: str = "auto",
    weights: str | None = None,
    promote: bool = True,
    dataset: str | None = None,
    run: Run | None = None,
    seed: int = 0,
    num_workers: int = 0,
    max_bad: float = 0.01,
    progress: Progress = "lines",
) -> Outcome:
    """Train a challenger on what people said since the champion, and promote it if it is provably better.

    The present state is frozen. If the champion was trained on just that, nothing is done. Else a challenger is trained
    (see `onlineml.improving.challenger.train.Recipe`), both are scored on the same test images with today's labels and
    class names, and the gate decides (see `onlineml.improving.gate.gate`). The challenger is published either way. It
    takes the champion's place only if that is still the one that it was compared with.

    A first model is trained and promoted where there is no champion. A reject is an ordinary end, no error.

    Args:
        project: whose images, labels and models.
        how: the challenger is trained; ``"auto"``: ``"warm"``; ``"head"`` where less than half a minute is given;
            ``"shrink"`` where a tenth of the labels that a classifier learned from scratch was wrong; ``"full"`` where
            the champion's network cannot go on or four versions went on from one another.
        policy: ``"better"``, ``"not_worse"`` (by `margin`), an object of `onlineml.improving.gate`, or ``"auto"``: not
            worse where there are new classes or corrected labels, which are a reason of their own, else better.
        margin: of ``"not_worse"``, such as 0.01 for one point.
        rules: see `onlineml.improving.gate.gate`, also for the next one.
        min_support: images of a class or slice that is tested for a drop.
        slices: columns by which both are scored, see `onlineml.evaluate`.
        epochs: see `onlineml.fit`, also for the next one.
        budget_s: seconds of training.
        replay: how many unchanged images are trained on again at most; None: all.
        size: pixels a side of a first model's input, see `onlineml.datamodule_for`; others have the champion's.
        batch_size: images a step.
        backbone: of a first model, see `onlineml.model_for`. Of a network of your own its import path, each time.
        weights: that a first model, and ``"full"``, start from.
        promote: False: decide, and leave the champion where it is.
        dataset: hash of a frozen dataset; None freezes the present state.
        run: of an earlier attempt that was interrupted, to go on with; None starts a new one.
        seed: of training and resamples.
        num_workers: processes that decode; 0 is a thread.
        max_bad: share of images that may be bad, 0..1.
        progress: see `onlineml.fit`.

    Returns:
        The verdict with its reasons; the run holds it as ``outcome.json`` and ``outcome.html``.

    Raises:
        ConfigError: arguments that make no sense, or a way that the champion's network cannot go.
        DataError: there are no labelled images to train on, or to compare on.
        StoppedError: the run was asked to stop; call again with it.
        TooManyBadImagesError: more than `max_bad` of the images are bad.
    """
    if how != "auto" and how not in HOWS:
        raise ConfigError(f"how={how!r}: expected auto, {', '.join(HOWS)}")
    gate_options = GateOptions(_policy(policy, margin), tuple(rules), min_support, slices, promote)
    recipe = Recipe(
        how="warm" if how == "auto" else how,
        replay=replay,
        epochs=epochs,
        budget_s=budget_s,
        size=size,
        batch_size=batch_size,
        backbone=backbone,
        weights=weights,
        seed=seed,
        num_workers=num_workers,
        max_bad=max_bad,
        progress=progress,
    )
    spec = {} if run is None else run.spec
    frozen = dataset or spec.get("dataset")
    data = project.manifest(frozen) if frozen else project.freeze(max_bad=max_bad)
    champion = _version(project, spec["champion"]) if "champion" in spec else project.champion
    before = "" if champion is None else str(champion.descriptor().get("manifest_hash") or "")
    if champion is not None and before == data.hash:
        return _unchanged(project, champion.version, data.hash, run)
    record = project.new_run() if run is None else run
    name = None if champion is None else champion.version
    record.update_spec({"kind": "improve", "dataset": data.hash, "champion": name})
    with _recorded(record):
        attempt = Attempt(project, data, project.annotations(), recipe, gate_options, record)
        outcome = attempt.first() if champion is None else attempt.challenge(champion, before, auto=how == "auto")
        outcome.save(record)
    facts = {"verdict": outcome.verdict, "promoted": outcome.promoted, "version": outcome.challenger}
    record.set_status("finished", facts=facts)
    return outcome


@contextmanager
def _recorded(run: Run) -> Iterator[None]:
    """Within, whatever ends the attempt early is told in the run's status."""
    over: dict[str, Any] = {name: None for name in run.status() if name in {"error", "by"}}  # of an earlier attempt
    run.set_status("running", facts=over)
    try:
        yield
    except StoppedError:
        run.set_status("stopped", facts={"by": "request"})
        raise
    except Exception as error:
        run.set_status("failed", facts={"error": f"{type(error).__name__}: {error}"[:2000]})
        raise
    except BaseException as error:
        run.set_status("stopped", facts={"by": type(error).__name__})
        raise


def _policy(policy: Policy | str, margin: float) -> Policy | tuple[Policy, Policy]:
    """The policy; of ``"auto"`` that for runs without and that for runs with a reason of their own.

    Raises:
        ConfigError: there is none of this name, or the margin is none.
    """
    named: dict[str, Policy | tuple[Policy, Policy]] = {
        "better": Better(),
        "not_worse": NotWorse(margin=margin),
        "auto": (Better(), NotWorse(margin=margin)),
    }
    if isinstance(policy, Better | NotWorse):
        return policy
    if policy not in named:
        raise ConfigError(f"policy={policy!r}: expected {', '.join(named)}, or a Better or NotWorse of yours")
    return named[policy]


def _version(project: Project, name: str | None) -> ModelVersion | None:
    """The champion of an earlier attempt."""
    if name is None:
        return None
    return registry.resolve(io.join(project.url, "models", name), storage_options=project.storage_options)


def _unchanged(project: Project, champion: str, dataset: str, run: Run | None) -> Outcome:
    outcome = Outcome(
        verdict=UNCHANGED,
        promoted=False,
        reasons=(f"the champion {champion} was trained on just this dataset, {dataset[:12]}",),
        how="",
        task=project.task,
        champion=champion,
        challenger="",
        dataset=dataset,
        champion_dataset=dataset,
        run="" if run is None else run.url,
    )
    if run is not None:
        outcome.save(run)
        run.set_status("finished", facts={"verdict": UNCHANGED})
    return outcome
