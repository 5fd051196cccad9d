"""The relabel grid without a browser: what it tells, and that each answer is in the log when it says so."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from front_end import FrontEnd
from onlineml.errors import ConfigError, DataError
from onlineml.project.project import Project
from onlineml.widgets import Relabel

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLINEML_CACHE", str(tmp_path / "cache"))


def image(seed: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (24, 16), (seed % 256, seed // 256, 10)).save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "project", class_names=["cat", "dog"])


def page(front: FrontEnd, start: int = 0) -> list[dict[str, Any]]:
    cards: list[dict[str, Any]] = front.one("cards", "cards", start=start)["cards"]
    return cards


def say(front: FrontEnd, cards: list[dict[str, Any]], what: str, **facts: Any) -> dict[str, Any]:
    ids, bases = [card["id"] for card in cards], [card["base"] for card in cards]
    return front.one("say", "saved", ids=ids, bases=bases, what=what, **facts)


def labels(project: Project) -> dict[str, str | None]:
    table = project.labels.state().table
    return dict(zip(table["image_id"].to_pylist(), table["label"].to_pylist(), strict=True))


def test_without_images_to_answer_it_says_so(project: Project) -> None:
    grid = Relabel(project)
    front = FrontEnd(grid)

    assert front.one("hello", "begin") | {"title": "", "project": ""} == {
        "kind": "begin", "n": 0, "place": 0, "done": 0, "title": "", "page_size": 50, "side": 160,
        "several": False, "project": "",
    }  # fmt: skip
    assert "no image is open" in grid.static_html()


def test_another_task_strange_images_and_sizes_are_refused(tmp_path: Path, project: Project) -> None:
    with pytest.raises(ConfigError, match="BoxEditor"):
        Relabel(Project.create(tmp_path / "other", task="detection"))
    with pytest.raises(DataError, match="not in the project"):
        Relabel(project, ["no such image"])
    with pytest.raises(ConfigError, match="page_size"):
        Relabel(project, page_size=0)


def test_a_page_tells_labels_suggestions_and_scores_and_sends_pictures(project: Project) -> None:
    ids = project.images.upload([image(1), image(2)]) + project.images.upload([image(3)], label="dog")
    project.labels.suggest({ids[0]: ("cat", 0.75)}, model="4")
    front = FrontEnd(Relabel(project, ids))

    cards = page(front)

    assert [(card["label"], card["guess"], card["score"], card["open"]) for card in cards] == [
        (None, "cat", 0.75, True),
        (None, None, None, True),
        ("dog", None, None, True),  # uploaded with a label that nobody has confirmed
    ]
    sizes = [size for told, _ in front.told if told["kind"] == "pictures" for size in told["sizes"]]
    assert sizes == [(16, 24)] * 3


def test_each_answer_is_in_the_log_when_it_is_told_as_saved(tmp_path: Path, project: Project) -> None:
    ids = project.images.upload([image(i) for i in range(4)])
    project.labels.suggest({ids[1]: ("cat", 0.75)}, model="4")
    front = FrontEnd(Relabel(project, ids, author="ann"))
    cards = page(front)

    say(front, [cards[0]], "label", label="dog")
    say(front, [cards[1]], "accept", labels=["cat"])
    say(front, [cards[2]], "delete")
    say(front, [cards[3]], "skip")

    other = Project.open(tmp_path / "project")  # somebody who reads the storage
    assert labels(other) == {ids[0]: "dog", ids[1]: "cat", ids[3]: None}
    origins = {row["image_id"]: row for row in other.labels.state().provenance.to_pylist()}
    assert (origins[ids[0]]["event"], origins[ids[0]]["author"]) == ("corrected", "ann")
    assert (origins[ids[1]]["event"], origins[ids[1]]["model"]) == ("accepted", "4")
    assert "skipped" in other.labels.history(ids[3])["event"].tolist()


def test_several_images_get_one_answer_and_lose_it_together(project: Project) -> None:
    ids = project.images.upload([image(i) for i in range(5)])
    front = FrontEnd(Relabel(project, ids))
    cards = page(front)
    say(front, cards[:1], "label", label="cat")
    say(front, cards[1:4], "label", label="dog")

    undone = front.one("undo", "undone")

    assert [card["id"] for card in undone["cards"]] == ids[1:4]
    assert labels(project) == {ids[0]: "cat"} | dict.fromkeys(ids[1:])
    assert front.one("undo", "undone")["place"] == 0
    assert labels(project) == dict.fromkeys(ids)
    assert front.one("undo", "undone")["cards"] == []


def test_correcting_oneself_is_no_contradiction(project: Project) -> None:
    ids = project.images.upload([image(1)])
    front = FrontEnd(Relabel(project, ids))
    (card,) = page(front)

    saved = say(front, [card], "label", label="dog")
    say(front, [{**card, "base": saved["bases"][card["id"]]}], "label", label="cat")

    assert labels(project) == {ids[0]: "cat"}
    assert not project.labels.state().conflicts


def test_two_people_see_each_others_answers_and_contradict_only_what_they_had_not_seen(
    tmp_path: Path, project: Project
) -> None:
    ids = project.images.upload([image(i) for i in range(3)])
    ann = FrontEnd(Relabel(Project.open(tmp_path / "project"), ids, author="ann"))
    ben = FrontEnd(Relabel(Project.open(tmp_path / "project"), ids, author="ben"))
    hers, his = page(ann), page(ben)

    say(ann, [hers[0]], "label", label="cat")
    say(ben, [his[0]], "label", label="dog")  # he has not heard of it yet
    say(ann, [hers[1]], "label", label="cat")
    (news,) = [told for told in ben.ask("news", ids=ids) if told["kind"] == "news"]

    assert [(card["id"], card["label"], card["by"], card["open"]) for card in news["cards"]] == [
        (ids[0], "dog", "ben", True),  # a contradiction: somebody who has seen both decides
        (ids[1], "cat", "ann", False),
    ]
    assert news["cards"][0]["state"] == "conflict"
    assert set(project.labels.state().conflicts) == {ids[0]}
    say(ben, [news["cards"][1]], "label", label="dog")  # he has seen hers
    assert set(project.labels.state().conflicts) == {ids[0]}
    say(ben, [news["cards"][0]], "label", label="dog")
    assert not project.labels.state().conflicts
    (again,) = [told for told in ben.ask("news", ids=ids) if told["kind"] == "news"]
    assert again["cards"] == []  # one's own answers are no news


def test_a_suggestion_that_changed_meanwhile_is_not_accepted_unseen(tmp_path: Path, project: Project) -> None:
    ids = project.images.upload([image(1)])
    project.labels.suggest({ids[0]: ("cat", 0.75)}, model="4")
    front = FrontEnd(Relabel(project, ids))
    cards = page(front)
    Project.open(tmp_path / "project").labels.suggest({ids[0]: ("dog", 0.9)}, model="5")
    project.labels.state()  # the notebook's own object has seen it, the grid has not

    say(front, cards, "accept", labels=["cat"])

    assert labels(project) == {ids[0]: "cat"}


def test_an_unknown_class_is_refused_and_the_answer_stays_open(project: Project) -> None:
    ids = project.images.upload([image(1)])
    front = FrontEnd(Relabel(project, ids))
    (card,) = page(front)

    (told,) = front.ask("say", ids=ids, bases=[card["base"]], what="label", label="bird")

    assert told["kind"] == "error"
    assert told["of"] == "q-2"
    assert "classes.add" in told["text"]
    front.one("class", "classes", name="bird")
    say(front, [card], "label", label="bird")
    assert labels(project) == {ids[0]: "bird"}


def test_it_goes_on_where_one_stopped(project: Project) -> None:
    ids = project.images.upload([image(i) for i in range(7)])
    front = FrontEnd(Relabel(project, ids, page_size=3))
    say(front, page(front)[:3], "label", label="cat")
    say(front, page(front, 3)[:1], "label", label="cat")

    begin = FrontEnd(Relabel(project, ids, page_size=3)).one("hello", "begin")
    assert (begin["n"], begin["place"], begin["done"]) == (7, 4, 4)
    assert set(Relabel(project).image_ids) == set(ids[4:])


def test_an_image_opens_in_large_and_a_deleted_one_is_told_as_such(project: Project) -> None:
    ids = project.images.upload([image(1), image(2)])
    front = FrontEnd(Relabel(project, ids))
    assert front.one("open", "open", id=ids[1])["size"] == (16, 24)
    project.images.delete(ids[0])

    cards = page(front)

    assert [card["state"] for card in cards] == ["deleted", "uploaded"]


def test_what_is_left_shows_the_present_page(project: Project) -> None:
    ids = project.images.upload([image(i) for i in range(4)])
    grid = Relabel(project, ids, page_size=2)
    front = FrontEnd(grid)
    say(front, page(front)[:1], "label", label="dog")
    front.ask("showing", start=2)

    left = grid.static_html()

    assert "1 of 4 images answered" in left
    assert left.count("<img") == 2


def test_of_a_thousand_answers_each_is_written_the_last_as_the_first(tmp_path: Path, project: Project) -> None:
    ids = project.images.upload([image(i) for i in range(1000)])
    front = FrontEnd(Relabel(project, ids, author="ann"))
    pages = [page(front, start) for start in range(0, 1000, 50)]
    wanted = {}
    for number, card in enumerate(card for cards in pages for card in cards):
        wanted[card["id"]] = ["cat", "dog"][number % 7 % 2]
        say(front, [card], "label", label=wanted[card["id"]])

    other = Project.open(tmp_path / "project")
    assert labels(other) == wanted
    assert set(other.labels.state().provenance["event"].to_pylist()) == {"corrected"}
    assert not other.labels.state().conflicts
    assert set(FrontEnd(Relabel(other, ids)).one("hello", "begin").items()) >= {("n", 1000), ("done", 1000)}


# ------------------------------------------------------------------------------------------------------- several labels


@pytest.fixture
def tagged(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "tags", task="multilabel", class_names=["cat", "cow", "dog"])


def sets(project: Project) -> dict[str, list[str] | None]:
    table = project.labels.state().table
    return dict(zip(table["image_id"].to_pylist(), table["labels"].to_pylist(), strict=True))


def test_several_labels_are_switched_on_and_off(tagged: Project) -> None:
    ids = tagged.images.upload([image(1), image(2)], labels=["dog"])
    front = FrontEnd(Relabel(tagged, ids, author="ann"))
    assert front.one("hello", "begin")["several"] is True
    cards = page(front)
    assert [(card["label"], card["guess"], card["open"]) for card in cards] == [(["dog"], None, True)] * 2

    say(front, cards, "add", label="cat")
    say(front, cards[:1], "remove", label="dog")
    say(front, cards[1:], "label", labels=[[]])

    assert sets(tagged) == {ids[0]: ["cat"], ids[1]: []}
    assert [(card["label"], card["state"], card["open"]) for card in page(front)] == [
        (["cat"], "removed", False),
        ([], "corrected", False),
    ]
    front.one("undo", "undone")
    front.one("undo", "undone")
    assert sets(tagged) == {image_id: ["cat", "dog"] for image_id in ids}
    assert "2 of 2" in front.view.static_html()


def test_quick_keys_are_no_contradiction(tagged: Project) -> None:
    """The second and third answer come before the front end knows what the first became."""
    (image_id,) = tagged.images.upload([image(1)])
    front = FrontEnd(Relabel(tagged, [image_id], author="ann"))
    (card,) = page(front)

    for what in ("add", "remove", "add"):
        say(front, [card], what, label="cat")

    assert sets(tagged) == {image_id: ["cat"]}
    assert not tagged.labels.state().conflicts


def test_a_suggested_set_is_accepted_or_changed(tagged: Project) -> None:
    ids = tagged.images.upload([image(i) for i in range(3)])
    tagged.labels.suggest(dict.fromkeys(ids, (["dog", "cat"], [0.9, 0.6])), model="4")
    front = FrontEnd(Relabel(tagged, ids, author="ann"))
    cards = page(front)
    assert [(card["guess"], card["top"]) for card in cards] == [(["dog", "cat"], [("dog", 0.9), ("cat", 0.6)])] * 3

    say(front, cards[:1], "accept", labels=[["dog", "cat"]])
    say(front, cards[1:2], "label", labels=[["cat", "cow", "dog"]])
    say(front, cards[2:], "label", labels=[[]])

    assert sets(tagged) == {ids[0]: ["cat", "dog"], ids[1]: ["cat", "cow", "dog"], ids[2]: []}
    origins = {row["image_id"]: row for row in tagged.labels.state().provenance.to_pylist()}
    assert (origins[ids[0]]["event"], origins[ids[0]]["model"]) == ("accepted", "4")
    assert origins[ids[1]]["event"] == "corrected"


def test_two_people_switch_different_labels(tmp_path: Path, tagged: Project) -> None:
    (image_id,) = tagged.images.upload([image(1)], labels=["dog"])
    ann = FrontEnd(Relabel(Project.open(tmp_path / "tags"), [image_id], author="ann"))
    ben = FrontEnd(Relabel(Project.open(tmp_path / "tags"), [image_id], author="ben"))
    (hers,), (his,) = page(ann), page(ben)

    say(ann, [hers], "add", label="cat")
    say(ben, [his], "remove", label="dog")

    (news,) = ann.one("news", "news", ids=[image_id])["cards"]
    assert (news["label"], news["state"]) == (["cat"], "removed")
    assert not tagged.labels.state().conflicts
