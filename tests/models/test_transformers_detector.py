"""Detectors of transformers, tiny and random, through the loading that real ones go through; nothing is fetched."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from detector_parts import some_targets
from onlineml.errors import ConfigError, MissingDependencyError, WeightsError
from onlineml.models.detectors import build_detector
from onlineml.models.transformers_detector import TransformersDetector

if TYPE_CHECKING:
    from pathlib import Path

transformers = pytest.importorskip("transformers")

_SIZES = {
    "d_model": 32,
    "encoder_hidden_dim": 32,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "decoder_layers": 2,
    "num_queries": 20,
    "num_denoising": 5,
    "encoder_in_channels": [16, 32, 64],
    "decoder_in_channels": [32, 32, 32],
}
_OUT = {"depths": [1, 1, 1, 1], "out_features": ["stage2", "stage3", "stage4"]}
_BACKBONES: dict[str, dict[str, Any]] = {
    "rt_detr_v2": {
        "model_type": "rt_detr_resnet",
        "embedding_size": 8,
        "hidden_sizes": [8, 16, 32, 64],
        "layer_type": "basic",
        **_OUT,
    },
    "d_fine": {
        "model_type": "hgnet_v2",
        "stem_channels": [3, 8, 8],
        "stage_in_channels": [8, 16, 16, 32],
        "stage_mid_channels": [8, 8, 8, 8],
        "stage_out_channels": [16, 16, 32, 64],
        "stage_num_blocks": [1, 1, 1, 1],
        "stage_numb_of_layers": [1, 1, 1, 1],
        "hidden_sizes": [16, 16, 32, 64],
        **_OUT,
    },
}


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # it is read when the package is imported
    transformers.utils.logging.disable_progress_bar()


@pytest.fixture(scope="module", params=_BACKBONES)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a model of five classes, as transformers saves it."""
    folder = tmp_path_factory.mktemp(request.param)
    backbone = _BACKBONES[request.param]
    config = transformers.AutoConfig.for_model(request.param, num_labels=5, backbone_config=backbone, **_SIZES)
    torch.manual_seed(0)
    transformers.AutoModelForObjectDetection.from_config(config).save_pretrained(folder)
    return str(folder)


def test_the_published_weights_but_for_what_depends_on_the_classes(saved: str) -> None:
    built = build_detector(f"transformers:{saved}", num_classes=2, weights="DEFAULT")
    network = built.network
    assert isinstance(network, TransformersDetector)
    former = transformers.AutoModelForObjectDetection.from_pretrained(saved).state_dict()
    own = network.network.state_dict()
    once = {name for name, _ in network.network.named_parameters()}  # some have two names
    fresh = {key for key in once if own[key].shape != former[key].shape}
    assert fresh
    assert set(built.reinitialized) == fresh
    assert all("class" in key or "score" in key for key in fresh)
    assert all(torch.equal(own[key], former[key]) for key in once - fresh)
    assert (built.mean, built.std) == ((0, 0, 0), (1, 1, 1))


def test_the_same_classes_keep_the_whole_network(saved: str) -> None:
    built = build_detector(f"transformers:{saved}", num_classes=5, weights="DEFAULT")
    assert built.reinitialized == ()


def test_a_training_step_with_and_without_boxes(saved: str) -> None:
    network = build_detector(f"transformers:{saved}", num_classes=2, weights="DEFAULT").network.train()
    images = torch.rand(2, 3, 64, 96)
    for targets in (some_targets(2), [some_targets(2)[1]] * 2):
        network.zero_grad()
        losses = network.losses(images, targets, trust=1.0)
        assert losses.shape == (2,)
        losses.mean().backward()
        assert torch.isfinite(losses).all()
        assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def test_truth_is_told_in_shares_of_the_image(saved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_detector(f"transformers:{saved}", num_classes=2).network.train()
    told = []

    def forward(pixel_values: torch.Tensor, labels: list[dict[str, torch.Tensor]]) -> Any:
        told.extend(labels)
        return type("Answer", (), {"loss": pixel_values.sum()})

    monkeypatch.setattr(network.network, "forward", forward)
    target = {"boxes": torch.tensor([[10.0, 16.0, 30.0, 48.0]]), "labels": torch.tensor([1])}
    network.losses(torch.rand(1, 3, 64, 100), [target], trust=1.0)
    assert told[0]["class_labels"].tolist() == [1]
    assert told[0]["boxes"][0].tolist() == pytest.approx([0.2, 0.5, 0.2, 0.5])


def test_what_is_found_is_in_pixels_and_as_transformers_itself_reads_it(saved: str) -> None:
    network = build_detector(f"transformers:{saved}", num_classes=2, weights="DEFAULT").network.eval()
    images = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        found = network.detect(images)
        answer = network.network(pixel_values=images)
    processor = transformers.RTDetrImageProcessor()
    expected = processor.post_process_object_detection(answer, threshold=0.0, target_sizes=[(64, 96)] * 2)
    for objects, told in zip(found, expected, strict=True):
        n = len(told["scores"])  # as many as the network has queries
        order = told["scores"].argsort(descending=True, stable=True)
        assert torch.allclose(objects["scores"][:n], told["scores"][order])
        assert torch.allclose(objects["boxes"][:n], told["boxes"][order], atol=1e-3)
        assert torch.equal(objects["labels"][:n], told["labels"][order])
        assert len(objects["scores"]) == min(100, 2 * 20)


def test_a_networks_own_class_for_nothing_is_left_out() -> None:
    """DETR and its like: scores add up to one, with one more class."""

    class Detr(torch.nn.Module):
        config = type("Config", (), {"num_labels": 2})

        def forward(self, pixel_values: torch.Tensor) -> Any:
            logits = torch.log(torch.tensor([[[0.2, 0.1, 0.7], [0.3, 0.6, 0.1]]]))
            boxes = torch.tensor([[[0.5, 0.5, 1.0, 1.0], [0.25, 0.25, 0.5, 0.5]]])
            return type("Answer", (), {"logits": logits, "pred_boxes": boxes})

    (found,) = TransformersDetector(Detr()).detect(torch.rand(1, 3, 40, 80))
    assert found["scores"].tolist() == pytest.approx([0.6, 0.3, 0.2, 0.1])
    assert found["labels"].tolist() == [1, 0, 0, 1]
    assert found["boxes"][0].tolist() == [0, 0, 40, 20]


def test_built_anew_by_its_configuration_alone(saved: str) -> None:
    """As a published model is, from JSON, without the folder it came from."""
    built = build_detector(f"transformers:{saved}", num_classes=3, weights="DEFAULT")
    config = json.loads(json.dumps(built.config))
    anew = build_detector("transformers:gone", num_classes=3, config=config)
    anew.network.load_state_dict(built.network.state_dict())
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        one, other = (b.network.eval().detect(images)[0] for b in (built, anew))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert anew.config == built.config


def test_the_normalisation_of_its_processor(saved: str, tmp_path: Path) -> None:
    saved = shutil.copytree(saved, tmp_path / "more")
    processor = transformers.RTDetrImageProcessor(do_normalize=True, image_mean=[0.1, 0.2, 0.3], image_std=[0.4] * 3)
    processor.save_pretrained(saved)
    built = build_detector(f"transformers:{saved}", num_classes=2, weights="DEFAULT")
    assert (built.mean, built.std) == ((0.1, 0.2, 0.3), (0.4, 0.4, 0.4))


def test_head_and_backbone(saved: str) -> None:
    network = build_detector(f"transformers:{saved}", num_classes=2).network
    head = {id(p) for p in network.head_parameters()}
    backbone = {id(p) for p in network.network.model.backbone.parameters()}
    assert backbone
    assert head == {id(p) for p in network.parameters()} - backbone


def test_what_cannot_be_had_is_told() -> None:
    with pytest.raises(ConfigError, match=r"architecture='transformers:no/such': .*expected a model type such as"):
        build_detector("transformers:no/such", num_classes=2)
    with pytest.raises(WeightsError, match=r"architecture='transformers:no/such': .*with its weights"):
        build_detector("transformers:no/such", num_classes=2, weights="DEFAULT")
    with pytest.raises(WeightsError, match=r"weights='w.pth': a transformers model accepts None or 'DEFAULT'"):
        build_detector("transformers:d_fine", num_classes=2, weights="w.pth")


def test_weights_of_another_model_are_refused(saved: str, tmp_path: Path) -> None:
    """Transformers would start what is missing at random and go on."""
    folder = shutil.copytree(saved, tmp_path / "less")
    state = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in state.items() if ".encoder." not in k}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=r"lack \d+ tensors of .*they are of another model"):
        build_detector(f"transformers:{folder}", num_classes=5, weights="DEFAULT")


def test_no_pickle_is_read(saved: str, tmp_path: Path) -> None:
    folder = shutil.copytree(saved, tmp_path / "old")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="safetensors"):
        build_detector(f"transformers:{folder}", num_classes=5, weights="DEFAULT")


def test_without_the_package_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingDependencyError, match="needs transformers: pip install transformers"):
        build_detector("transformers:d_fine", num_classes=2)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"hidden_size": 96_000, "intermediate_size": 96_000}, "parameters; expected at most"),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers is 1000000"),
        ({"num_labels": 10**9}, "num_labels is 1000000000"),
        ({"hidden_size": 10**400}, "hidden_size is 1000"),
        ({"hidden_size": "x"}, "hidden_size"),
        ({"num_attention_heads": 0}, "damaged"),
        ({"patch_size": 0}, "damaged"),
        ({"id2label": [1]}, "damaged"),
        ({"dtype": "q"}, "damaged"),
    ],
)
def test_a_stored_configuration_is_refused_before_it_takes_memory(changes: dict[str, Any], told: str) -> None:
    small = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 32}
    config = {"model_type": "yolos", "image_size": [32, 32], "num_detection_tokens": 3, **small}
    assert (
        build_detector("transformers:yolos", num_classes=2, weights="random", config=config).config["hidden_size"] == 32
    )
    with pytest.raises(ConfigError, match=told):
        build_detector("transformers:yolos", num_classes=2, weights="random", config=config | changes)
