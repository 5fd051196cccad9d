"""What decides is refused when it is built, and a reason of its own changes the policy of "auto"."""

from __future__ import annotations

import pytest

from onlineml.errors import ConfigError
from onlineml.improving.gate.policy import Better, Gate, NotWorse


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"policy": "maybe"}, "policy='maybe': expected one of auto, better, not_worse, or a Better or NotWorse"),
        ({"policy": 3}, "policy=3: expected one of auto"),
        ({"margin": 0.0}, "margin=0.0: expected a difference"),
        ({"min_support": 0}, "min_support=0: expected at least 1"),
        ({"slices": "camera"}, r"slices='camera' is a str: expected a list of names, such as \['camera'\]"),
        ({"rules": ["not on a Friday"]}, "rules: 'not on a Friday' is not a function"),
    ],
)
def test_values_that_make_no_sense_are_refused_with_what_is_expected(values, message):
    with pytest.raises(ConfigError, match=message):
        Gate(**values)


@pytest.mark.parametrize("reason", [False, True])
def test_a_reason_of_its_own_decides_where_nobody_says(reason):
    assert Gate(margin=0.02).policy_for(reason=reason) == (NotWorse(margin=0.02) if reason else Better())
    assert Gate(policy="better").policy_for(reason=reason) == Better()
    assert Gate(policy="not_worse").policy_for(reason=reason) == NotWorse()
    assert Gate(policy=Better(level=0.9)).policy_for(reason=reason) == Better(level=0.9)
