"""Checks of arguments: what is taken, and the sentence about everything else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import onlineml as oml
from onlineml.arguments import checks
from onlineml.arguments.similar import did_you_mean, similar, valid_names
from onlineml.errors import ConfigError


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_whole_numbers_become_ints(value: Any) -> None:
    assert type(checks.whole("n", value)) is int


@pytest.mark.parametrize("value", [0.5, 1, np.float32(0.5), np.int16(1), np.float64(0.25)])
def test_numbers_become_pythons(value: Any) -> None:
    found = checks.share("n", value)

    assert found == value
    assert type(found) in {int, float}


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [
        (checks.whole, "10", "n='10' is a str: expected a whole number, at least 0"),
        (checks.whole, True, "n=True is a bool: expected a whole number, at least 0"),
        (checks.whole, np.True_, "is a bool.*: expected a whole number"),
        (checks.whole, 2.0, "n=2.0 is a float: expected a whole number"),
        (checks.whole, None, "n=None is a NoneType: expected a whole number, at least 0$"),
        (checks.whole, -1, "n=-1: expected at least 0$"),
        (checks.share, 1.01, "n=1.01: expected a share between 0 and 1"),
        (checks.share, float("nan"), "n=nan: expected a share between 0 and 1"),
        (checks.share, "0.1", "n='0.1' is a str: expected a share between 0 and 1"),
        (checks.share, True, "n=True is a bool: expected a share"),
        (checks.seconds, 0, "n=0: expected more than 0 seconds"),
        (checks.seconds, float("inf"), "n=inf: expected more than 0 seconds"),
        (checks.seconds, -5, "n=-5: expected more than 0 seconds"),
        (checks.seed, -1, r"n=-1: expected 0\.\.2\*\*31-1"),
        (checks.seed, 2**31, r"n=2147483648: expected 0\.\.2\*\*31-1"),
        (checks.seed, 0.0, r"n=0\.0: expected 0"),
        (checks.flag, "no", "n='no' is a str: expected True or False"),
        (checks.flag, 1, "n=1 is an int: expected True or False"),
        (checks.names, "cat", r"n='cat' is a str: expected a list of names, such as \['cat'\]"),
        (checks.names, 3, "n=3 is an int: expected a list of names"),
        (checks.names, ["a", 3], "n contains 3: expected names"),
    ],
)
def test_what_is_refused(check: Any, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check("n", value)


def test_none_is_taken_only_where_it_may_be() -> None:
    assert checks.whole("n", None, optional=True) is None
    assert checks.seconds("n", None, optional=True) is None
    assert checks.names("n", None, optional=True) is None
    with pytest.raises(ConfigError, match="at least 1, or None"):
        checks.whole("n", "x", least=1, optional=True)


@pytest.mark.parametrize(
    "listed", [["b", "a"], ("b", "a"), np.array(["b", "a"]), pd.Series(["b", "a"], index=[5, 2]), iter("ba")]
)
def test_lists_of_names(listed: Any) -> None:
    found = checks.names("n", listed)

    assert found == ("b", "a")
    assert {type(name) for name in found} == {str}


def test_a_misspelt_name_gets_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"split='tset': expected one of train, val, test \(did you mean 'test'\?\)"):
        checks.one_of("split", "tset", ("train", "val", "test"))
    with pytest.raises(ConfigError, match=r"did you mean 'train'\?"):
        checks.names("splits", ["val", "Trian"], known=("train", "val", "test"))
    with pytest.raises(ConfigError, match=r"n=3: expected one of a, or 7$"):
        checks.one_of("n", 3, ("a",), other="7")


def test_names_are_near_without_regard_to_case() -> None:
    assert similar("RESNET81", ["resnet18", "vgg16"]) == ["resnet18"]
    assert similar("zzz", ["resnet18"]) == []
    assert did_you_mean("zzz", ["resnet18"]) == ""


def test_long_lists_are_cut() -> None:
    assert valid_names("x", []) == "none yet"
    assert valid_names("x", [f"class{i}" for i in range(30)]).endswith("class19 and 10 more")


def test_a_long_value_is_not_repeated() -> None:
    with pytest.raises(ConfigError, match=r"^data is a list: expected a Manifest$"):
        checks.instance("data", list(range(1000)), str, "a Manifest")


@pytest.mark.parametrize("make", [oml.model_for, oml.datamodule_for])
def test_a_project_in_the_place_of_its_dataset_is_named_with_the_call_that_makes_one(tmp_path, make):
    project = oml.Project.create(tmp_path, task="classification")

    with pytest.raises(ConfigError, match=r"data is a Project: expected a Manifest, .* project.freeze\(\)"):
        make(project)


def test_what_is_no_model_is_not_published(tmp_path):
    project = oml.Project.create(tmp_path, task="classification")

    with pytest.raises(ConfigError, match=r"model is a NoneType: expected one such as onlineml.model_for\(data\)"):
        project.publish(None)
