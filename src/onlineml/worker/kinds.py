"""The built-in job kinds of `onlineml.jobs.ProjectJobs.submit`.

Each function takes the job's run and its project first. All of them may be called again with the run of an earlier
attempt, and continue from where that attempt was.
"""
# ruff: noqa: PLC0415 - submitting only needs the signatures and must not load torch

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from onlineml.errors import ConfigError, StoppedError
from onlineml.registry.publish_once import publish_once
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.project.project import Project
    from onlineml.runs.run import Run

__all__ = ["evaluate", "improve", "notebook", "train"]


def train(
    run: Run,
    project: Project,
    *,
    dataset: str | None = None,
    size: int | None = None,
    batch_size: int | None = None,
    backbone: str = "auto",
    weights: str | None = "auto",
    seed: int = 0,
    epochs: int | None = None,
    budget_s: float | None = None,
    patience: int | None = None,
    max_bad: float | None = None,
    num_workers: int = 0,
    devices: int | str = "auto",
    split: str = "test",
    alias: str | None = None,
) -> dict[str, Any]:
    """Train a model on the project's dataset, evaluate and publish it.

    Args:
        run: the job's.
        project: the project with the images.
        dataset: hash of a frozen dataset; None freezes the present state, once for all attempts.
        size: input side length in pixels; see `onlineml.datamodule_for`, also for ``batch_size``.
        batch_size: images per step.
        backbone: the network; see `onlineml.model_for`, also for ``weights`` and ``seed``.
        weights: ``"auto"``, ``"random"``, a published name, a path or URL.
        seed: of weights, order and augmentation.
        epochs: see `onlineml.fit`, also for ``budget_s`` and ``patience``.
        budget_s: seconds of training, of all attempts together.
        patience: validations without improvement before it stops.
        max_bad: allowed share of bad images, 0..1; by default the project's, see `Project.freeze`.
        num_workers: loader processes.
        devices: number of devices to train on, -1 for all GPUs; see `onlineml.fit`.
        split: evaluated after training; if it has no images, the model is published without scores.
        alias: alias of the new version, such as ``"champion"``; None for none.
    """
    import onlineml as oml

    frozen = dataset or run.spec.get("dataset")
    data = project.datasets.get(frozen) if frozen else project.freeze(max_bad=max_bad)
    run.update_spec({"dataset": data.hash})
    if io.exists(run.location / "model/model.json"):  # of an earlier attempt
        model = oml.load_model(run.location / "model")
    else:
        bad = project.datasets.max_bad() if max_bad is None else max_bad
        place = weights if weights in {None, "auto", "random"} else project.location.to(str(weights))
        model = oml.model_for(data, backbone=backbone, weights=place, seed=seed)
        batches = oml.datamodule_for(
            data,
            model=model,
            size=size,
            batch_size=batch_size,
            budget_s=budget_s,
            seed=seed,
            num_workers=num_workers,
            max_bad=bad,
        )
        _show_samples(run, batches)
        given: dict[str, Any] = {"patience": patience, "devices": devices}
        oml.fit(model, batches, run=run, epochs=epochs, budget_s=budget_s, **given)
    _pause(run)
    scores = oml.evaluate(model, data, split=split) if split in data.table["split"].to_pylist() else None
    _say(str(scores) if scores is not None else f"no images in the split {split!r}, so no scores")
    _pause(run)
    version = publish_once(run, project.location, model, scores).version
    _say(f"published as {version}")
    if alias:
        project.promote(version, alias=alias, reason=f"trained by the run {run.id}")
    return {"dataset": data.hash, "version": version, "alias": alias, **({} if scores is None else scores.summary())}


def _show_samples(run: Run, batches: Any) -> None:
    """Store a picture of training samples for the progress panel."""
    from onlineml.inference.batches import samples_png
    from onlineml.training.panel_html import SAMPLES

    io.write_bytes(run.location / SAMPLES, samples_png(batches))


def evaluate(
    run: Run,
    project: Project,
    *,
    model: str = "champion",
    dataset: str | None = None,
    split: str = "test",
    slices: Sequence[str] = (),
    max_bad: float | None = None,
) -> dict[str, Any]:
    """Score a published model on the project's dataset; the run holds ``evaluation.json`` and ``report.html``.

    Args:
        run: the job's.
        project: the project with the images and models.
        model: an alias or a version.
        dataset: hash of a frozen dataset; None freezes the present state.
        split: the images to score.
        slices: columns to slice the scores by.
        max_bad: allowed share of bad images, 0..1; by default the project's, see `Project.freeze`.
    """
    import onlineml as oml

    data = project.datasets.get(dataset) if dataset else project.freeze(max_bad=max_bad)
    loaded = oml.load_model(project.models.get(model))
    scores = oml.evaluate(loaded, data, split=split, slices=list(slices))
    _say(str(scores))
    _pause(run)
    io.write_bytes(run.location / "evaluation.json", scores.to_json().encode())
    scores.save_report(run.location / "report.html")
    return {"dataset": data.hash, "model": loaded.reference, "split": split, **scores.summary()}


def improve(
    run: Run,
    project: Project,
    *,
    how: str = "auto",
    policy: str = "auto",
    margin: float = 0.01,
    min_support: int = 30,
    slices: Sequence[str] | None = None,
    epochs: int | None = None,
    budget_s: float | None = None,
    replay: int | None = None,
    size: int | None = None,
    batch_size: int | None = None,
    backbone: str = "auto",
    weights: str | None = "auto",
    promote: bool = True,
    seed: int = 0,
    num_workers: int = 0,
    devices: int | str = "auto",
    max_bad: float | None = None,
) -> dict[str, Any]:
    """Train a challenger on the annotations since the champion, and promote it if it is provably better.

    The job's run holds ``outcome.json`` and ``outcome.html``. The arguments are attributes of `onlineml.Recipe` and
    `onlineml.Gate`, which validate them.
    """
    import onlineml as oml

    recipe = oml.Recipe(
        how=how,  # type: ignore[arg-type]  # validated by Recipe
        replay=replay,
        epochs=epochs,
        budget_s=budget_s,
        size=size,
        batch_size=batch_size,
        backbone=backbone,
        weights=weights,
        seed=seed,
        num_workers=num_workers,
        devices=devices,  # type: ignore[arg-type]
        max_bad=max_bad,
    )
    gate = oml.Gate(policy=policy, margin=margin, min_support=min_support, slices=slices, promote=promote)  # type: ignore[arg-type]
    outcome = oml.improve(project, recipe=recipe, gate=gate, run=run)
    _say(str(outcome))
    shown = ("verdict", "promoted", "champion", "challenger", "dataset", "how")
    return {name: getattr(outcome, name) for name in shown} | {"reasons": list(outcome.reasons)}


def notebook(
    run: Run,
    project: Project | None,
    *,
    notebook: str,
    parameters: Mapping[str, Any] | None = None,
    output: str | None = None,
    kernel: str = "",
    timeout_s: float | None = None,
) -> dict[str, Any]:
    """Run a notebook under papermill; its ``project_url``, where it has one, is the project's unless given.

    Args:
        run: the job's.
        project: the notebook's project; None if it has none, or creates it.
        notebook: the name of a guided notebook, such as ``"1_build"``, a path or a URL.
        parameters: values by name.
        output: path or URL of the executed notebook; None for ``notebook.ipynb`` in the run's folder.
        kernel: name of the kernel; by default the notebook's own.
        timeout_s: time limit of the whole notebook in seconds.
    """
    from onlineml.jobs.notebooks import parameters_of, run_notebook

    given = dict(parameters or {})
    if project is not None and "project_url" in parameters_of(notebook):
        given.setdefault("project_url", project.url)
    if run.location.options:
        raise ConfigError(
            "papermill does not support storage_options: set fsspec's environment variables (FSSPEC_S3_KEY, …) and "
            "open the project without storage_options"
        )
    target = output or run.path("notebook.ipynb")
    run_notebook(notebook, target, parameters=given, kernel=kernel, timeout_s=timeout_s)
    return {"notebook": notebook, "output": target}


def _pause(run: Run) -> None:
    """Stop here, between two steps, if a stop was requested."""
    if run.stop_requested:
        raise StoppedError("stopped on request between two steps of the job")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
