"""The result of the gate: a frozen value that prints itself and is stored in the promotion log."""

# ruff: noqa: PLC0415 - what prints and draws is loaded when it is asked for; it knows this module

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onlineml.storage.codec import plain

if TYPE_CHECKING:
    import pandas as pd

    from onlineml.evaluation.comparison.counts import PairedCounts
    from onlineml.evaluation.comparison.result import Comparison, NewClass, PartChange
    from onlineml.evaluation.comparison.samples import PairedSamples
    from onlineml.improving.gate.more import MorePhotos
    from onlineml.improving.gate.policy import Policy
    from onlineml.improving.gate.promise import Look

__all__ = ["INCONCLUSIVE", "PROMOTE", "REJECT", "GateResult", "TestedPart"]

PROMOTE, REJECT, INCONCLUSIVE = "promote", "reject", "inconclusive"


@dataclass(frozen=True)
class TestedPart:
    """A class or slice that was tested for a drop.

    Attributes:
        part: the change in it.
        p_holm: adjusted p value of a drop.
        significant: whether it blocks.
    """

    __test__ = False  # not a pytest class

    part: PartChange
    p_holm: float
    significant: bool


@dataclass(frozen=True, eq=False, repr=False)
class GateResult:
    """A verdict and its evidence.

    Attributes:
        verdict: ``"promote"``, ``"reject"`` or ``"inconclusive"``.
        reasons: sentences, blocking ones first.
        policy: the policy to fulfil.
        score: name of the deciding score.
        champion: its value for the champion, on the images and classes that both know.
        challenger: for the challenger.
        difference: challenger minus champion, on the test images and `more`.
        lower: one-sided lower bound of the true difference, at the rate of this look; nan if undefined.
        upper: one-sided upper bound, at the policy's level.
        minimum_detectable_effect: the smallest true difference that this test set detects with 80 % power.
        required_sample_size: number of images that fulfil the policy with 80 % power if the true difference is the
            observed one; None if that one does not fulfil it.
        leaked: test images that the challenger was trained on.
        tested: classes and slices with enough support, the smallest p value first.
        comparison: everything else: fixed and broken images, other scores, McNemar's test.
        evidence: that the verdict follows from: of the test images, and of `more`.
        look: number of the look in the life of the test set; None for a single one.
        n_blocks: number of reasons that block, the first of `reasons`.
        more: photos besides the test images; None for none.
    """

    verdict: str
    reasons: tuple[str, ...]
    policy: Policy
    score: str
    champion: float
    challenger: float
    difference: float
    lower: float
    upper: float
    minimum_detectable_effect: float
    required_sample_size: int | None
    leaked: tuple[str, ...]
    tested: tuple[TestedPart, ...]
    comparison: Comparison
    evidence: PairedCounts | PairedSamples
    look: Look | None = None
    n_blocks: int = 0
    more: MorePhotos | None = None

    @property
    def promoted(self) -> bool:
        """True if the verdict is ``"promote"``."""
        return self.verdict == PROMOTE

    @property
    def drops(self) -> tuple[TestedPart, ...]:
        """Classes and slices that are significantly worse; each of them blocks."""
        return tuple(part for part in self.tested if part.significant)

    @property
    def new_classes(self) -> tuple[NewClass, ...]:
        """New classes of the challenger; they do not affect the verdict."""
        return self.comparison.new_classes

    def to_frame(self) -> pd.DataFrame:
        """One row per tested class or slice: the columns of `PartChange`, ``p_holm`` and ``significant``."""
        import pandas as pd

        from onlineml.evaluation.comparison.result import PartChange

        names = [f.name for f in dataclasses.fields(PartChange)]
        rows = [(*dataclasses.astuple(t.part), t.p_holm, t.significant) for t in self.tested]
        return pd.DataFrame(rows, columns=[*names, "p_holm", "significant"])

    def to_record(self) -> dict[str, Any]:
        """The decision as plain JSON values, for a promotion log; undefined numbers are None."""
        diff = self.comparison
        own = ("verdict", "reasons", "score", "champion", "challenger", "difference", "lower", "upper", "leaked")
        record: dict[str, Any] = plain({
            **{name: getattr(self, name) for name in own},
            "policy": {"name": self.policy.name, **dataclasses.asdict(self.policy)},
            # the names in existing logs
            "smallest_shown": self.minimum_detectable_effect,
            "images_needed": self.required_sample_size,
            "look": self.look and self.look.number,
            "spent": self.look and self.look.spent,
            "n_not_worse": self.look and self.look.n_not_worse,
            "n_blocks": self.n_blocks,
            "evidence": self.evidence.to_record(),
            "more": self.more and self.more.to_record(),
            **{name: getattr(diff, name) for name in ("n_images", "n_groups", "n_fixed", "n_broken")},
            "negative_flip_rate": diff.negative_flip_rate,
            "mcnemar_p": diff.mcnemar.p_mid,
            "drops": [
                {"column": t.part.column, "value": t.part.value, "difference": t.part.difference, "p_holm": t.p_holm}
                for t in self.drops
            ],
            "new_classes": [{"name": new.name, "n": new.n, "score": new.score} for new in self.new_classes],
            "champion_ref": diff.a.model_ref,
            "challenger_ref": diff.b.model_ref,
            "manifest_hash": diff.b.manifest_hash,
            "split": diff.b.split,
        })  # fmt: skip
        return record

    def __repr__(self) -> str:
        return f"<GateResult: {self.verdict}, {self.score} {self.difference:+.3f}>"

    def __str__(self) -> str:
        from onlineml.improving.gate.text import gate_text

        return gate_text(self)

    def _repr_html_(self) -> str:
        from onlineml.improving.gate.text import gate_html

        return gate_html(self)
