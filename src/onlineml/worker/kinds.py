"""The built-in job kinds of `onlineml.jobs.ProjectJobs.submit`.

Each function takes the job's run and its project first. All of them may be called again with the run of an earlier
attempt, and continue from where that attempt was.
"""
# ruff: noqa: PLC0415 - submitting needs the signatures only, and must not wait for torch

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
    weights: str | None = None,
    seed: int = 0,
    epochs: int | None = None,
    budget_s: float | None = None,
    patience: int | None = None,
    max_bad: float = 0.01,
    num_workers: int = 0,
    split: str = "test",
    alias: str | None = None,
) -> dict[str, Any]:
    """Train a model on the project's dataset, evaluate and publish it.

    Args:
        run: the job's.
        project: whose images.
        dataset: hash of a frozen dataset; None freezes the present state, once for all attempts.
        size: pixels a side that the network sees; see `onlineml.datamodule_for`, also for the next one.
        batch_size: images a step.
        backbone: the network, see `onlineml.model_for`, also for the next two.
        weights: None starts at random; a published name, a path or URL.
        seed: of weights, order and augmentation.
        epochs: see `onlineml.fit`, also for the next two.
        budget_s: seconds; of all attempts together.
        patience: validations that are no better before it stops.
        max_bad: share of images that may be bad, 0..1.
        num_workers: loader processes.
        split: on which it is evaluated; where there is none of its images, it is published without scores.
        alias: what the new version becomes, such as ``"champion"``; None: nothing.
    """
    import onlineml as oml

    frozen = dataset or run.spec.get("dataset")
    data = project.datasets.get(frozen) if frozen else project.freeze(max_bad=max_bad)
    run.update_spec({"dataset": data.hash})
    if io.exists(run.path("model/model.json"), storage_options=run.storage_options):  # of an earlier attempt
        model = oml.load_model(run.path("model"), storage_options=run.storage_options)
    else:
        batches = oml.datamodule_for(
            data, size=size, batch_size=batch_size, seed=seed, num_workers=num_workers, max_bad=max_bad
        )
        model = oml.model_for(
            data, backbone=backbone, weights=weights, seed=seed, storage_options=project.storage_options
        )
        _show_samples(run, batches)
        oml.fit(model, batches, run=run, epochs=epochs, budget_s=budget_s, patience=patience)
    _pause(run)
    scores = oml.evaluate(model, data, split=split) if split in data.table["split"].to_pylist() else None
    _say(str(scores) if scores is not None else f"no images in the split {split!r}, so no scores")
    _pause(run)
    version = publish_once(run, project.url, model, scores).version
    _say(f"published as {version}")
    if alias:
        project.promote(version, alias=alias, reason=f"trained by the run {run.id}")
    return {"dataset": data.hash, "version": version, "alias": alias, **({} if scores is None else scores.summary())}


def _show_samples(run: Run, batches: Any) -> None:
    """Keep a picture of what the network will see, for those who watch."""
    from onlineml.inference.batches import samples_png
    from onlineml.training.panel_html import SAMPLES

    io.write_bytes(run.path(SAMPLES), samples_png(batches), storage_options=run.storage_options)


def evaluate(
    run: Run,
    project: Project,
    *,
    model: str = "champion",
    dataset: str | None = None,
    split: str = "test",
    slices: Sequence[str] = (),
    max_bad: float = 0.01,
) -> dict[str, Any]:
    """Score a published model on the project's dataset; the run holds ``evaluation.json`` and ``report.html``.

    Args:
        run: the job's.
        project: whose images and models.
        model: an alias or a version.
        dataset: hash of a frozen dataset; None freezes the present state.
        split: which images.
        slices: columns to cut the scores by.
        max_bad: share of images that may be bad, 0..1.
    """
    import onlineml as oml

    data = project.datasets.get(dataset) if dataset else project.freeze(max_bad=max_bad)
    loaded = oml.load_model(f"{project.url}@{model}", storage_options=project.storage_options)
    scores = oml.evaluate(loaded, data, split=split, slices=list(slices))
    _say(str(scores))
    _pause(run)
    io.write_bytes(run.path("evaluation.json"), scores.to_json().encode(), storage_options=run.storage_options)
    scores.save_report(run.path("report.html"), storage_options=run.storage_options)
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
    weights: str | None = None,
    promote: bool = True,
    seed: int = 0,
    num_workers: int = 0,
    max_bad: float = 0.01,
) -> dict[str, Any]:
    """Train a challenger on what people said since the champion, and promote it if it is provably better.

    The job's run holds ``outcome.json`` and ``outcome.html``. What is asked are the attributes of `onlineml.Recipe` and
    `onlineml.Gate` that JSON can hold, and refused by them.
    """
    import onlineml as oml

    recipe = oml.Recipe(
        how=how,  # type: ignore[arg-type]  # checked there
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
        project: the notebook's; None where it belongs to none, or makes it.
        notebook: the name of a guided one, such as ``"1_build"``, a path or a URL.
        parameters: by name.
        output: where the executed notebook goes; None is ``notebook.ipynb`` in the run's folder.
        kernel: a kernel's name; by default the notebook's own.
        timeout_s: seconds that all of it may take.
    """
    from onlineml.jobs.notebooks import parameters_of, run_notebook

    given = dict(parameters or {})
    if project is not None and "project_url" in parameters_of(notebook):
        given.setdefault("project_url", project.url)
    if run.storage_options:
        raise ConfigError(
            "papermill reads and writes with the credentials of the environment, not with storage_options: set those "
            "of fsspec (FSSPEC_S3_KEY, …) and open the project without storage_options"
        )
    target = output or run.path("notebook.ipynb")
    run_notebook(notebook, target, parameters=given, kernel=kernel, timeout_s=timeout_s)
    return {"notebook": notebook, "output": target}


def _pause(run: Run) -> None:
    """A moment at which nothing is lost if the job was asked to stop."""
    if run.stop_requested:
        raise StoppedError("asked to stop between two parts of the job")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
