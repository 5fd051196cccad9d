"""`improve`: train a challenger on corrections and new images, and promote it if it is provably better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onlineml import registry
from onlineml.arguments.checks import instance
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import ConfigError
from onlineml.improving.attempt import Attempt
from onlineml.improving.gate.policy import Gate
from onlineml.improving.news import changes_since, names_of, nothing_new, require_training_images
from onlineml.improving.outcome import UNCHANGED, Outcome
from onlineml.improving.recipe import Recipe
from onlineml.inference.evaluation import check_slices
from onlineml.project.project import Project
from onlineml.runs.run import Run
from onlineml.storage.patience import background
from onlineml.tasks.base import VisionModule
from onlineml.training.processes import launched_by_others
from onlineml.training.progress import check_progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onlineml.registry.versions import ModelVersion
    from onlineml.training.progress import Progress

__all__ = ["begun_with", "challenge", "check_settings", "dataset_of", "finished", "improve"]

_RECIPE, _GATE = Recipe(), Gate()


@background()
def improve(
    project: Project,
    recipe: Recipe = _RECIPE,
    gate: Gate = _GATE,
    *,
    dataset: str | None = None,
    run: Run | None = None,
    progress: Progress = "lines",
) -> Outcome:
    """Train a challenger on the annotations since the champion, and promote it if it is provably better.

    The present state is frozen. If the champion was trained on exactly this dataset, or if only images without
    annotations and classes without images are new, nothing is done. If only names of classes changed, the champion is
    published again under the new names. Otherwise a challenger is trained by the recipe, both are scored on the same
    test images with the current labels and class names, and the gate decides. The challenger is published in any case,
    and replaces the champion only if that is still the one it was compared with. Without a champion, a first model is
    trained and promoted.

    Args:
        project: with the images, labels and models.
        recipe: how the challenger is trained.
        gate: the criteria, and whether to promote.
        dataset: hash of a frozen dataset; None freezes the present state.
        run: of an interrupted attempt, to resume it; None starts a new one.
        progress: see `onlineml.fit`.

    Returns:
        The verdict with its reasons, also stored in the run as ``outcome.json`` and ``outcome.html``.

    Raises:
        ConfigError: an argument is invalid, or the champion's network does not support the recipe.
        DataError: there are no labelled images to train on, or to compare on.
        StoppedError: a stop of the run was requested; call again with it.
        TooManyBadImagesError: more images are bad than the recipe allows.
    """
    check_progress(progress)
    check_settings(project, gate)
    instance("recipe", recipe, Recipe, "a Recipe, such as Recipe(epochs=10)")
    if launched_by_others() is not None:
        raise ConfigError(
            "improve() publishes and promotes, once for all processes: start it by python, not by torchrun or srun; "
            "Recipe(devices=…) has the training start its own"
        )
    spec = begun_with(run, call="improve")
    frozen = dataset or spec.get("dataset")
    data = project.datasets.get(frozen) if frozen else project.freeze(max_bad=recipe.max_bad)
    check_slices(data, gate.slices)
    champion = _version(project, spec["champion"]) if "champion" in spec else project.champion()
    before = dataset_of(champion)
    if champion is not None and (why := _nothing_new(project, champion, before, data)):
        return _unchanged(project, champion, data, run, why=why)
    require_training_images(data)
    record = project.runs.new() if run is None else run
    name = None if champion is None else champion.version
    record.update_spec({"kind": "improve", "dataset": data.hash, "champion": name})
    with record.recorded(call="improve(project, run=…)"):
        attempt = Attempt(project, data, project.labels.state(), recipe, gate, record, progress)
        outcome = attempt.first() if champion is None else attempt.challenge(champion, before)
        outcome.save(record)
    return finished(record, outcome)


@background()
def challenge(
    project: Project,
    model: Any,
    data: Manifest,
    *,
    gate: Gate = _GATE,
    recipe: Recipe = _RECIPE,
    run: Run | None = None,
) -> Outcome:
    """Publish a model that was trained in any way, and make it the champion if it is provably better.

    As in `improve`, champion and challenger are scored on the same test images with the current labels, the gate
    decides, and the challenger replaces the champion only if that is still the one it was compared with. Without a
    champion, the model is promoted.

    Args:
        project: that it is published in.
        model: trained, such as by `onlineml.fit`.
        data: the dataset that it was trained on, frozen in this project; its split ``test`` decides.
        gate: the criteria, and whether to promote.
        recipe: of which only `max_bad`, `num_workers` and `seed` are used, for scoring, and the import path of your own
            network in `backbone`, by which the champion is loaded.
        run: of an interrupted call with this model, to resume it without a second version; None starts a new one.

    Returns:
        The verdict with its reasons, also stored in a new run as ``outcome.json`` and ``outcome.html``.

    Raises:
        ConfigError: an argument is invalid.
        DataError: there are no labelled images to compare on.
        TooManyBadImagesError: more images are bad than the recipe allows.
    """
    check_settings(project, gate)
    instance("recipe", recipe, Recipe, "a Recipe, such as Recipe(epochs=10)")
    instance("model", model, VisionModule, "a trained model; load_model opens a stored one")
    instance("data", data, Manifest, "the dataset it was trained on, such as project.freeze() made")
    if not model.task == data.task == project.task:
        found = f"the model is for {model.task}, the data for {data.task}, the project for {project.task}"
        raise ConfigError(f"{found}: expected one task")
    check_slices(data, gate.slices)
    spec = begun_with(run, call="challenge")
    if spec.get("dataset", data.hash) != data.hash:
        found = f"the run is of the dataset {spec['dataset'][:12]}, data is {data.hash[:12]}"
        raise ConfigError(f"{found}: expected the dataset that the run was begun with, or a new run")
    champion = _version(project, spec["champion"]) if "champion" in spec else project.champion()
    record = project.runs.new() if run is None else run
    name = None if champion is None else champion.version
    record.update_spec({"kind": "challenge", "dataset": data.hash, "champion": name})
    with record.recorded(call="challenge(project, model, data, run=…)"):
        attempt = Attempt(project, data, project.labels.state(), recipe, gate, record, "none")
        if champion is None:
            outcome = attempt.take_first(model, how="")
        else:
            outcome = attempt.judge(model, champion, dataset_of(champion))
        outcome.save(record)
    return finished(record, outcome)


def check_settings(project: Project, gate: Gate) -> None:
    """Check the arguments that all verbs with a gate have.

    Raises:
        ConfigError: they are something else.
    """
    instance("project", project, Project, "a project; Project.open(url) opens one")
    instance("gate", gate, Gate, "a Gate, such as Gate(policy='better')")


def begun_with(run: Run | None, *, call: str) -> Mapping[str, Any]:
    """Return what a run to be resumed was begun with; nothing for a new one.

    Raises:
        ConfigError: it is no run, or that of something else, such as of a training by `onlineml.fit`.
    """
    if run is None:
        return {}
    instance("run", run, Run, "a run of this project, such as that of project.runs.get(id), or None")
    spec = run.spec
    if (begun := spec.get("kind", "fit" if "manifest_hash" in spec else call)) != call:
        raise ConfigError(f"run={run.id} is of {begun}: expected an interrupted run of {call}, or None for a new one")
    return spec


def finished(record: Run, outcome: Outcome) -> Outcome:
    """Note in a run that it has ended, and return its outcome."""
    facts = {"verdict": outcome.verdict, "promoted": outcome.promoted, "version": outcome.challenger}
    record.set_status("finished", facts=facts)
    return outcome


def dataset_of(version: ModelVersion | None) -> str:
    """Return the hash of the dataset that a version was trained on; ``""`` if unknown."""
    return "" if version is None else str(version.descriptor().get("manifest_hash") or "")


def _version(project: Project, name: str | None) -> ModelVersion | None:
    """The champion of an earlier attempt."""
    if name is None:
        return None
    return registry.resolve(project.location / "models" / name)


def _nothing_new(project: Project, champion: ModelVersion, before: str, data: Manifest) -> str:
    """Say why nothing is to be done; ``""`` if there is something."""
    if before == data.hash:
        return f"the champion {champion.version} was trained on exactly this dataset, {data.hash[:12]}"
    names = names_of(champion, data, project.labels.state().lineage)
    changes = changes_since(project, before, data)
    why = nothing_new(changes, data, names, champion.descriptor()["class_names"])
    return why and f"there is nothing to learn since the champion {champion.version}: {why}"


def _unchanged(project: Project, champion: ModelVersion, data: Manifest, run: Run | None, *, why: str) -> Outcome:
    outcome = Outcome(
        verdict=UNCHANGED,
        promoted=False,
        reasons=(why,),
        how="",
        task=project.task,
        champion=champion.version,
        challenger="",
        dataset=data.hash,
        champion_dataset=dataset_of(champion),
        run="" if run is None else run.url,
    )
    if run is not None:
        outcome.save(run)
        run.set_status("finished", facts={"verdict": UNCHANGED})
    return outcome
