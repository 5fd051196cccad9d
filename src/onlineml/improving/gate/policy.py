"""The settings of the gate: the policy that a challenger must fulfil, and everything else that decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from onlineml.errors import ConfigError
from onlineml.improving.gate import text as words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onlineml.evaluation.comparison.result import Comparison

__all__ = ["Better", "Gate", "NotWorse", "Policy", "Rule"]

Rule: TypeAlias = "Callable[[Comparison], str | None]"
PolicyName = Literal["auto", "better", "not_worse"]


def _check_level(level: float) -> None:
    if not 0.5 < level < 1:
        msg = f"level={level}: expected a confidence in (0.5, 1), such as 0.95"
        raise ConfigError(msg)


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
        """As in records."""
        return "better"

    @property
    def floor(self) -> float:
        """The limit above which the lower bound must lie."""
        return 0.0


@dataclass(frozen=True)
class NotWorse:
    """Promote if the challenger is not worse by `margin` or more, and at least as good on the test images themselves.

    For a run that brings new classes or corrected labels: there is a reason to promote other than the score.

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
        if not 0 < self.margin <= 0.5:
            msg = f"margin={self.margin}: expected a difference of scores in (0, 0.5]; one point is 0.01"
            raise ConfigError(msg)

    def __str__(self) -> str:
        return f"not worse by {words.points(self.margin)}"

    @property
    def name(self) -> str:
        """As in records."""
        return "not_worse"

    @property
    def floor(self) -> float:
        """The limit above which the lower bound must lie."""
        return -self.margin


Policy: TypeAlias = Better | NotWorse


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The settings that decide whether a challenger takes the champion's place, see `onlineml.improve`.

    Attributes:
        policy: ``"better"``, ``"not_worse"`` (by `margin`), an object of `onlineml.improving.gate`, or ``"auto"``: not
            worse where there are new classes or corrected labels, which are a reason of their own, else better.
        margin: of ``"not_worse"``, in (0, 0.5]; 0.01 is one point.
        rules: functions that take the `onlineml.evaluation.Comparison` and return a reason against promotion, or
            None.
        min_support: images (of a detector: objects) of a class or slice that is tested for a drop; at least 1.
        slices: columns by which both models are scored, see `onlineml.evaluate`.
        promote: False: decide, but do not replace the champion.

    Raises:
        ConfigError: there is no such policy, or a value is outside its range.
    """

    policy: Policy | PolicyName = "auto"
    margin: float = 0.01
    rules: Sequence[Rule] = ()
    min_support: int = 30
    slices: Sequence[str] | None = None
    promote: bool = True

    def __post_init__(self) -> None:
        self.policy_for(reason=True)
        if self.min_support < 1:
            raise ConfigError(f"min_support={self.min_support}: expected at least 1 image")
        if isinstance(self.slices, str):
            raise ConfigError(f"slices={self.slices!r}: expected names of columns, such as [{self.slices!r}], or None")
        wrong = [rule for rule in self.rules if not callable(rule)]
        if wrong:
            raise ConfigError(f"rules: {wrong[0]!r} is no function; expected some that are given the comparison")

    def policy_for(self, *, reason: bool) -> Policy:
        """The policy of a run that has, or has not, another reason to promote than the score.

        Raises:
            ConfigError: there is none of this name, or the margin is none.
        """
        not_worse = NotWorse(margin=self.margin)
        if isinstance(self.policy, Better | NotWorse):
            return self.policy
        named: dict[str, Policy] = {
            "auto": not_worse if reason else Better(),
            "better": Better(),
            "not_worse": not_worse,
        }
        if self.policy not in named:
            raise ConfigError(
                f"policy={self.policy!r}: expected one of {', '.join(named)}, or a Better or NotWorse of yours"
            )
        return named[self.policy]
