"""The settings of the gate: the policy that a challenger must fulfil, and everything else that decides."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from onlineml.arguments.checks import ABOVE_ZERO, BELOW_ONE, flag, names, number, one_of, whole
from onlineml.errors import ConfigError
from onlineml.improving.gate import text as words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onlineml.evaluation.comparison.result import Comparison

__all__ = ["Better", "Gate", "NotWorse", "Policy", "Rule"]

Rule: TypeAlias = "Callable[[Comparison], str | None]"
PolicyName = Literal["auto", "better", "not_worse"]


def _check_level(level: float) -> None:
    expected = "a confidence in (0.5, 1), such as 0.95"
    number("level", level, expected, least=math.nextafter(0.5, 1), most=BELOW_ONE)


@dataclass(frozen=True)
class Better:
    """Promote if the challenger is better: the lower bound of the difference is above zero.

    Attributes:
        level: confidence of the one-sided bound, in (0.5, 1).

    Raises:
        ConfigError: `level` is outside its range.
    """

    level: float = 0.95

    def __post_init__(self) -> None:
        _check_level(self.level)

    def __str__(self) -> str:
        return "better"

    @property
    def name(self) -> str:
        """The name in records."""
        return "better"

    @property
    def floor(self) -> float:
        """The limit above which the lower bound must lie."""
        return 0.0


@dataclass(frozen=True)
class NotWorse:
    """Promote if the challenger is not worse by `margin` or more, and at least as good on the test images themselves.

    For runs with new classes or corrected labels, which justify a promotion without a better score.

    Attributes:
        margin: of the score, in (0, 0.5]; 0.01 is one point of accuracy.
        level: confidence of the one-sided bound, in (0.5, 1).

    Raises:
        ConfigError: either is outside its range.
    """

    margin: float = 0.01
    level: float = 0.95

    def __post_init__(self) -> None:
        _check_level(self.level)
        expected = "a difference of scores in (0, 0.5]; one point is 0.01"
        number("margin", self.margin, expected, least=ABOVE_ZERO, most=0.5)

    def __str__(self) -> str:
        return f"not worse by {words.points(self.margin)}"

    @property
    def name(self) -> str:
        """The name in records."""
        return "not_worse"

    @property
    def floor(self) -> float:
        """The limit above which the lower bound must lie."""
        return -self.margin


Policy: TypeAlias = Better | NotWorse


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The settings that decide whether a challenger replaces the champion, see `onlineml.improve`.

    Attributes:
        policy: ``"better"``, ``"not_worse"`` (by `margin`), an object of `onlineml.improving.gate`, or ``"auto"``: not
            worse if there are new classes or corrected labels, else better.
        margin: of ``"not_worse"``, in (0, 0.5]; 0.01 is one point.
        rules: functions that take the `onlineml.evaluation.Comparison` and return a reason against promotion, or
            None.
        min_support: minimum number of images (for a detector, objects) of a class or slice to test it for a drop.
        slices: columns to slice the scores by, see `onlineml.evaluate`.
        robustness: maximum number of test images that are altered a little (brightness, contrast, JPEG, shift) before a
            promotion, see `onlineml.improving.gate.robustness`; 0 for none.
        promote: if False, decide, but do not replace the champion.

    Raises:
        ConfigError: the policy is unknown, or a value is outside its range.

    Example:
        >>> str(oml.Gate(policy="not_worse", margin=0.02).policy_for(reason=False))
        'not worse by 2 points'
    """

    policy: Policy | PolicyName = "auto"
    margin: float = 0.01
    rules: Sequence[Rule] = ()
    min_support: int = 30
    slices: Sequence[str] | None = None
    robustness: int = 200
    promote: bool = True

    def __post_init__(self) -> None:
        self.policy_for(reason=True)
        whole("min_support", self.min_support, least=1, of="images")
        whole("robustness", self.robustness, of="images")
        names("slices", self.slices, optional=True)
        flag("promote", self.promote)
        if not isinstance(self.rules, Iterable):
            raise ConfigError(f"rules={self.rules!r}: expected a list of functions that take the comparison")
        wrong = [rule for rule in self.rules if not callable(rule)]
        if wrong:
            raise ConfigError(f"rules: {wrong[0]!r} is not a function; expected functions that take the comparison")

    def policy_for(self, *, reason: bool) -> Policy:
        """The policy of a run; ``reason`` tells whether new classes or corrected labels justify a promotion.

        Raises:
            ConfigError: the policy is unknown, or the margin is invalid.
        """
        not_worse = NotWorse(margin=self.margin)
        if isinstance(self.policy, Better | NotWorse):
            return self.policy
        named: dict[str, Policy] = {
            "auto": not_worse if reason else Better(),
            "better": Better(),
            "not_worse": not_worse,
        }
        return named[one_of("policy", self.policy, named, other="a Better or NotWorse object")]
