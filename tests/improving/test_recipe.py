"""What a recipe refuses when it is built."""

from __future__ import annotations

import pytest
import torch

from onlineml.errors import ConfigError
from onlineml.improving.recipe import Recipe


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"how": "magic"}, "how='magic': expected one of auto, warm, head, rows, shrink, full"),
        ({"replay": -1}, "replay=-1: expected at least 0"),
        ({"epochs": 0}, "epochs=0: expected at least 1"),
        ({"budget_s": 0.0}, "budget_s=0.0: expected more than 0 seconds"),
        ({"epochs": 1, "budget_s": 9.0}, "expected one of them"),
        ({"size": 4}, "size=4: expected at least 8"),
        ({"batch_size": 0}, "batch_size=0: expected at least 1"),
        ({"num_workers": -1}, "num_workers=-1: expected at least 0"),
        ({"seed": -1}, "seed=-1"),
        ({"devices": 0}, "devices=0: expected at least 1 devices"),
        ({"epochs": "3"}, "epochs=.3. is a str: expected a whole number"),
        ({"epochs": True}, "epochs=True is a bool: expected a whole number"),
        ({"budget_s": "10"}, "budget_s=.10. is a str: expected more than 0 seconds"),
        ({"max_bad": 1.5}, "max_bad=1.5: expected a share"),
        ({"backbone": torch.nn.Identity()}, r"backbone=Identity\(\) is an Identity: expected a name"),
    ],
)
def test_values_out_of_range_are_refused_with_what_is_expected(values, message):
    with pytest.raises(ConfigError, match=message):
        Recipe(**values)


def test_a_network_of_the_users_own_is_told_by_its_import_path():
    assert Recipe(backbone="mine.nets:small").own_backbone == "mine.nets:small"
    assert Recipe(backbone="timm:resnet18").own_backbone is None
    assert Recipe().own_backbone is None
