"""Importing onlineml loads little, and nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import onlineml

HEAVY = ("torch", "torchvision", "lightning", "pytorch_lightning", "pandas", "matplotlib", "cv2", "albumentations")


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_brings_nothing_heavy_along() -> None:
    loaded = json.loads(run_python("import json, sys, onlineml; print(json.dumps(sorted(sys.modules)))"))

    assert "onlineml" in loaded
    assert not set(loaded) & set(HEAVY)


def test_the_parts_that_need_no_network_never_import_torch() -> None:
    code = "import json, sys; from onlineml import Project, errors; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(run_python(code))

    assert not set(loaded) & {"torch", "torchvision", "lightning", "pytorch_lightning", "matplotlib", "albumentations"}


def test_importing_loads_two_modules_of_ours_and_otherwise_only_pythons_own() -> None:
    code = "import json, sys; before = set(sys.modules); import onlineml; print(json.dumps([*{*sys.modules} - before]))"
    loaded = json.loads(run_python(code))

    assert {name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names} == {
        "onlineml",
        "onlineml.lazy",
    }
    assert len(loaded) < 40, loaded  # 16 with Python 3.11


def test_every_public_name_can_be_had_and_unknown_ones_are_refused() -> None:
    for name in onlineml.__all__:
        assert getattr(onlineml, name) is not None, name
        assert name in dir(onlineml)
    with pytest.raises(AttributeError, match=r"no_such_thing.*Manifest"):
        _ = onlineml.no_such_thing
