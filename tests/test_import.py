"""Importing onlineml is quick and brings nothing heavy along."""

from __future__ import annotations

import json
import subprocess
import sys
import time

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


def test_importing_takes_less_than_three_tenths_of_a_second() -> None:
    # The best of five: another process may well have the machine for a while, but import has no lucky run.
    def seconds(code: str) -> float:
        started = time.perf_counter()
        run_python(code)
        return time.perf_counter() - started

    assert min(seconds("import onlineml") - seconds("pass") for _ in range(5)) < 0.3


def test_every_public_name_can_be_had_and_unknown_ones_are_refused() -> None:
    code = """
import onlineml
for name in onlineml.__all__:
    assert getattr(onlineml, name) is not None, name
    assert name in dir(onlineml)
try:
    onlineml.no_such_thing
except AttributeError as error:
    print(error)
"""
    message = run_python(code)

    assert "no_such_thing" in message
    assert "Manifest" in message
