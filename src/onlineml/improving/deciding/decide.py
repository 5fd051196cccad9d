"""Another look of the gate at champion and challenger, by the test images and the photos that were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.arguments.checks import instance
from onlineml.errors import DataError
from onlineml.improving.attempt import Attempt
from onlineml.improving.challenger.current_names import current_names
from onlineml.improving.deciding.questions import QuestionLog, answers_to, set_aside
from onlineml.improving.deciding.queue import two_versions
from onlineml.improving.gate.policy import Gate
from onlineml.improving.improve import check_settings, dataset_of, finished
from onlineml.improving.recipe import Recipe
from onlineml.inference.evaluation import check_slices
from onlineml.storage.patience import background

if TYPE_CHECKING:
    from onlineml.improving.deciding.questions import Question
    from onlineml.improving.outcome import Outcome
    from onlineml.project.project import Project
    from onlineml.registry.versions import ModelVersion

__all__ = ["decide"]

_RECIPE, _GATE = Recipe(), Gate()


@background()
def decide(
    project: Project, *, challenger: str = "challenger", gate: Gate = _GATE, recipe: Recipe = _RECIPE
) -> Outcome:
    """Let the gate look again at champion and challenger, with the answers to `deciding_queue`.

    Nothing is trained. The two are scored on the test images; the photos of the queue's sample count as well, those
    on which the models agree without a label. It is one more look at the test photos, and if these have at least
    doubled by the sample, the first one at new ones.

    Args:
        project: for image classification, with a champion.
        challenger: alias or number of the version.
        gate: the criteria, and whether to promote.
        recipe: of which only `backbone`, `max_bad`, `num_workers` and `seed` are used, for scoring.

    Returns:
        The verdict with its reasons, also stored in a new run as ``outcome.json`` and ``outcome.html``.

    Raises:
        NotFoundError: there is no such version, or no champion.
        ConfigError: the project is of another task, an argument is invalid, or both versions are the same.
        DataError: nothing was asked for about these two, some of the photos are not labelled yet, or there are no
            labelled test images.
        TooManyBadImagesError: more images are bad than the recipe allows.
    """
    check_settings(project, gate)
    instance("recipe", recipe, Recipe, "a Recipe, such as Recipe(seed=1)")
    champion, other = two_versions(project, challenger)
    question = _asked(project, champion, other)
    data = project.freeze(max_bad=recipe.max_bad)
    check_slices(data, gate.slices)
    state = project.labels.state()
    first, second = (
        current_names(version.descriptor()["class_names"], state.lineage, known=data.class_names)
        for version in (champion, other)
    )
    more = answers_to(question, data, state, known={name for name in first if name is not None and name in second})
    record = project.runs.new()
    record.update_spec({"kind": "decide", "dataset": data.hash, "champion": champion.version})
    with record.recorded(call="decide(project)"):
        attempt = Attempt(project, data, state, recipe, gate, record, "none", more)
        outcome = attempt.decide(champion, other, dataset_of(champion))
        outcome.save(record)
    return finished(record, outcome)


def _asked(project: Project, champion: ModelVersion, other: ModelVersion) -> Question:
    """The last question about two versions; its photos are in no split."""
    pair = (champion.version, other.version)
    asked = [one for one in QuestionLog(project.location).questions() if (one.champion, one.challenger) == pair]
    if not asked:
        raise DataError(
            f"no photo was asked for to decide between {champion.version} and {other.version}: "
            "deciding_queue(project) does, and its photos must be labelled first"
        )
    set_aside(project, asked)
    return asked[-1]
