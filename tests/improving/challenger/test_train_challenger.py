"""The start and the end of a warm start: whose weights they are, and which are kept between old and new."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

import onlineml as oml
from onlineml.errors import ConfigError
from onlineml.improving.challenger import detection, successor
from onlineml.improving.challenger import train as challenger_train
from onlineml.improving.challenger.between import keep_best_between
from onlineml.improving.challenger.images import challenger_images
from onlineml.improving.challenger.successor import from_champion
from onlineml.improving.challenger.train import train_challenger
from onlineml.improving.improve import improve
from onlineml.improving.recipe import Recipe
from onlineml.tasks.kept_settings import ImageSettings, KeptSettings
from tiny import CLASSES, TinyNet
from tiny_boxes import COLOURS as BOX_COLOURS
from tiny_boxes import any_objects, boxes_manifest, drawn
from tiny_projects import FACTORY, colour_model, colour_project, fitted, narrow_net, with_champion


@pytest.fixture
def project(tmp_path, decoded_photos):
    return with_champion(colour_project(tmp_path))


@pytest.fixture
def champion(project):
    return oml.load_model(project.champion(), backbone=FACTORY)


def weights(model):
    return {name: tensor.clone() for name, tensor in model.network.state_dict().items()}


# ---- where it starts ----


def test_it_goes_on_from_the_champions_weights_under_other_classes(champion):
    before = weights(champion)

    made = successor.from_champion(champion, ("green", "new", "blue", "red"), lineage={})

    assert torch.equal(made.head.weight[[2, 0, 3]], before["head.weight"])
    assert torch.equal(made.network.mix.weight, before["mix.weight"])
    assert (made.size_hw, made.mean, made.backbone_name) == ((32, 32), champion.mean, FACTORY)
    assert all(module.training for module in made.modules())
    assert weights(champion).keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(champion).items())


def test_shrunk_weights_are_what_the_paper_says(champion):
    made = successor.shrink_perturb(champion, CLASSES, lineage={}, seed=3)

    fresh = champion.rebuild(CLASSES, seed=3)
    for name, tensor in weights(made).items():
        wanted = 0.4 * champion.network.state_dict()[name] + 0.1 * fresh.network.state_dict()[name]
        torch.testing.assert_close(tensor, wanted)


def test_a_network_that_nobody_can_build_anew_says_what_to_pass():
    model = oml.ImageClassifier(class_names=CLASSES, backbone=TinyNet())

    with pytest.raises(ConfigError, match=r"package\.module:factory"):
        model.rebuild(CLASSES)


def test_batch_norms_keep_their_statistics_so_that_weights_can_be_mixed(tmp_path, decoded_photos):
    project = colour_project(tmp_path, counts={"train": 12})  # with validation images the new head alone may be best
    data = project.freeze()
    model = oml.ImageClassifier(class_names=CLASSES, backbone=TinyNet(norm=True))
    model.size_hw = (32, 32)
    model.eval()
    before = weights(model)

    made = train_challenger(model, data, Recipe(epochs=2), run=project.runs.new(), lineage={}, progress="none")

    assert torch.equal(made.network.features[1].running_mean, before["features.1.running_mean"])
    assert not torch.equal(made.network.features[3].weight, before["features.3.weight"])


# ---- which weights are kept ----


def spoilt(champion, project, monkeypatch, noise):
    """Training that only adds noise to the weights."""

    def train(model, *_, **__):
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=noise)

    monkeypatch.setattr(challenger_train, "fit", train)
    run = project.runs.new()
    data = project.freeze()
    return train_challenger(champion, data, Recipe(), run=run, lineage={}, progress="none"), run.spec["trained"]


def test_of_a_training_that_did_harm_little_is_kept(champion, project, monkeypatch):
    made, told = spoilt(champion, project, monkeypatch, 5.0)

    assert told["share"] == 0.25
    noise = torch.randn(champion.network.mix.weight.shape, generator=torch.Generator().manual_seed(0)) * 5.0
    torch.testing.assert_close(made.network.mix.weight, champion.network.mix.weight + 0.25 * noise)
    val = oml.evaluate(made, project.freeze(), split="val")
    assert told["val_accuracy"] == pytest.approx(val.accuracy, abs=1e-6)


def test_a_training_that_changed_nothing_is_kept_whole(champion, project, monkeypatch):
    made, told = spoilt(champion, project, monkeypatch, 0.0)

    assert told["share"] == 1.0
    assert torch.equal(made.head.weight, champion.head.weight)


def test_without_validation_images_what_was_trained_is_kept(tmp_path, decoded_photos, monkeypatch):
    project = with_champion(colour_project(tmp_path, counts={"train": 6, "test": 4}))
    champion = oml.load_model(project.champion(), backbone=FACTORY)

    made, told = spoilt(champion, project, monkeypatch, 5.0)

    assert told == {"share": 1.0, "aligned": False}
    assert float((made.network.mix.weight - champion.network.mix.weight).detach().abs().max()) > 3


def test_new_rows_belong_to_the_new_network_whatever_the_share(project):
    data = project.freeze()
    champion = fitted(
        colour_model(("blue", "green")),
        data.with_labels({}).take(data.column("label") != "red").with_class_names(("blue", "green")),
    )
    images = challenger_images(champion, data, Recipe())
    model = successor.from_champion(champion, CLASSES, lineage={})
    with torch.no_grad():
        model.head.weight[2] = torch.tensor([0.0, 0, 0, 0, 9.0, 9.0])
    rows = model.head.weight[2].detach().clone()

    told = keep_best_between(model, champion, images, lineage={})

    assert told["share"] == 1.0 or torch.allclose(model.head.weight[:2], champion.head.weight)
    scale = float((model.head.weight[2].detach() / rows).nanmean())
    torch.testing.assert_close(model.head.weight[2], rows * scale)  # as it was, or aligned: longer or shorter


# ---- detectors ----


@pytest.fixture
def boxes_project(tmp_path, decoded_photos, monkeypatch):
    monkeypatch.setitem(BOX_COLOURS, "white", (240, 240, 240))
    images = []
    for split, n in (("train", 10), ("val", 3), ("test", 6)):
        for _ in range(n):
            objects = any_objects((96, 96), seed=len(images))
            images.append((split, drawn((96, 96), objects, seed=len(images)), objects))
    project = oml.Project.create(str(tmp_path / "project"), task="detection")
    project.add(boxes_manifest(tmp_path / "photos", images))
    return project


NARROW = "tiny_projects:narrow_net"


def narrow(project, **recipe):
    """Improve in one epoch."""
    return improve(project, recipe=Recipe(backbone=NARROW, epochs=1, batch_size=4, **recipe), progress="none")


def test_a_detector_grows_and_takes_nothing_unknown_for_background(boxes_project, tmp_path, monkeypatch):
    project = boxes_project
    assert callable(narrow_net)
    first = narrow(project, size=96)
    assert (first.verdict, first.promoted) == ("first", True)
    project.classes.rename("red", "scarlet")
    objects = [("white", (10, 10, 50, 50))]
    more = boxes_manifest(
        tmp_path / "more", [(s, drawn((96, 96), objects, seed=70 + i), None) for i, s in enumerate(("train", "test"))]
    )
    new = more.table.to_pylist()
    project.images.upload(
        [(tmp_path / "more" / row["uri"]).read_bytes() for row in new],
        boxes=[([[10, 10, 50, 50]], ["white"])] * 2,
        split="train",
    )
    given = []
    images = detection.DetectionDataModule
    monkeypatch.setattr(
        detection, "DetectionDataModule", lambda *a, **k: given.append(k["known_classes"]) or images(*a, **k)
    )

    outcome = narrow(project)

    assert outcome.how == "warm"
    assert outcome.verdict in {"promote", "reject", "inconclusive"}
    assert outcome.new_classes == ("white",)
    assert set(outcome.comparison.a.class_names) == {"blue", "green", "scarlet"}
    data = project.datasets.get(outcome.dataset)
    white = data.class_names.index("white")
    (known,) = given
    assert known[:, white].sum() == 2  # only who annotated the last two photos could know it
    assert np.delete(known, white, axis=1).all()
    challenger = oml.load_model(f"{project.url}@challenger", backbone=NARROW)
    assert challenger.class_names == data.class_names
    assert challenger.thresholds is not None
    versions = {v.version: v for v in project.models.list()}
    assert versions[outcome.challenger].descriptor()["parent"] == versions[outcome.champion].url


@pytest.mark.parametrize("how", ["head", "shrink", "full"])
def test_the_other_ways_of_a_detector(boxes_project, how):
    narrow(boxes_project, size=96)
    row = boxes_project.labels.state().table.to_pylist()[0]
    boxes_project.labels.set(row["image_id"], ([[1, 1, 20, 20]], ["red"]))
    old = oml.load_model(boxes_project.champion(), backbone=NARROW)

    outcome = narrow(boxes_project, how=how)

    new = oml.load_model(f"{boxes_project.url}@challenger", backbone=NARROW)
    same = [
        torch.equal(a, b)
        for a, b in zip(old.network.backbone.parameters(), new.network.backbone.parameters(), strict=True)
    ]
    assert all(same) == (how == "head")
    assert outcome.changes["relabelled"] == 1


def test_rows_alone_are_for_classifiers(boxes_project):
    narrow(boxes_project, size=96)
    boxes_project.labels.set("image-0", ([[1, 1, 20, 20]], ["red"]))

    with pytest.raises(ConfigError, match="rows"):
        narrow(boxes_project, how="rows")


def test_a_challenger_keeps_the_settings_that_were_chosen_for_the_champion(tmp_path):
    """By way of the storage, and with a class that was renamed since."""
    chosen = {"optimizer": "sgd", "lr": 0.2, "weight_decay": 0.01, "mix": "mixup", "label_smoothing": 0.3}
    champion = oml.ImageClassifier(
        class_names=["red", "green"], backbone=FACTORY, class_weights={"red": 3.0, "green": 1.0}, **chosen
    )
    champion.size_hw = (32, 32)
    champion.kept = msgspec.structs.replace(champion.kept, images=ImageSettings(augment="strong", batch_size=7))
    champion.save(str(tmp_path / "model"))
    loaded = oml.load_model(str(tmp_path / "model"), backbone=FACTORY)

    made = from_champion(loaded, ["scarlet", "green", "blue"], lineage={"red": "scarlet"})

    assert (made.optimizer_name, made.mix, made.label_smoothing, made.weight_decay) == ("sgd", "mixup", 0.3, 0.01)
    assert made.lr == pytest.approx(2 * 0.02)  # twice the usual rate, then of a new network, now of a trained one
    assert made.class_weights.tolist() == [3.0, 1.0, 2.0]
    assert (made.kept.images.augment, made.kept.images.batch_size) == ("strong", 7)
    assert made.chosen_settings() == msgspec.structs.replace(
        loaded.kept, class_weights={"scarlet": 3.0, "green": 1.0, "blue": 2.0}
    )


def test_what_nobody_chose_is_usual_for_a_challenger_too():
    champion = oml.ImageClassifier(class_names=["red", "green"], backbone=FACTORY)
    champion.size_hw = (32, 32)

    made = from_champion(champion, ["red", "green"], lineage={})

    assert champion.chosen_settings() == KeptSettings()
    assert made.chosen_settings() == KeptSettings()
    assert (made.lr, made.label_smoothing) == (1.5e-4, 0.0)


def test_a_detector_keeps_its_flips_and_its_optimizer(tmp_path):
    champion = oml.ObjectDetector(class_names=["cell"], backbone="tiny_projects:narrow_net", optimizer="sgd")
    champion.size_hw = (64, 64)
    champion.kept = msgspec.structs.replace(champion.kept, images=ImageSettings(flips="all", mosaic=0.5))
    champion.save(str(tmp_path / "model"))
    loaded = oml.load_model(str(tmp_path / "model"), backbone="tiny_projects:narrow_net")

    made = from_champion(loaded, ["cell"], lineage={})

    assert made.optimizer_name == "sgd"
    assert (made.kept.images.flips, made.kept.images.mosaic) == ("all", 0.5)
    assert made.lr == made.network.default_lr("sgd", pretrained=True)
