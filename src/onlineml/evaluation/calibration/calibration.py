"""`Calibration`: what validation says about a model's probabilities and thresholds, kept with the model."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from onlineml.arguments.checks import number
from onlineml.arguments.counted import count
from onlineml.errors import DataError
from onlineml.evaluation.calibration.curves import Curve, units_needed
from onlineml.pages import table

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import pandas as pd

    from onlineml.evaluation.calibration.evidence import Evidence

__all__ = ["Calibration", "calibration_of", "checked_rate"]

_SHOWN_RATES = (0.01, 0.05, 0.1)
_Loss = Annotated[float, Meta(ge=0, le=1e6)]
_Name = Annotated[str, Meta(max_length=1000)]


class Calibration(msgspec.Struct, frozen=True):
    """Calibration of one model: of its exact weights, class names and input; see `onlineml.calibrate`.

    Attributes:
        model: fingerprint of the model.
        split: of the photos that it was computed from.
        manifest_hash: of their manifest.
        n_photos: their number.
        temperature: logits are divided by it; 1 where that does not help.
        log_loss: of such photos before and after the temperature; None for tasks without.
        ece: expected calibration error of such photos before and after, in 15 bins.
        classes: losses by class, at the thresholds that matter.
        together: those of all photos; None where a photo may show several classes.
    """

    model: Annotated[str, Meta(max_length=200)]
    split: Annotated[str, Meta(max_length=20)]
    manifest_hash: Annotated[str, Meta(max_length=1000)]
    n_photos: Annotated[int, Meta(ge=0)]
    classes: dict[_Name, Curve]
    together: Curve | None = None
    temperature: Annotated[float, Meta(gt=0, le=1000)] = 1.0
    log_loss: tuple[_Loss, _Loss] | None = None
    ece: tuple[_Loss, _Loss] | None = None

    def thresholds(self, miss_rate: float, *, without: Collection[str] = ()) -> dict[str, float]:
        """Return the threshold of each class, of which at most a share is missed.

        A class of a classifier that too few photos show, see `not_alone`, gets the threshold of all photos.

        Args:
            miss_rate: share of the photos, labels or objects of each class that may be missed, above 0, to 0.5.
            without: classes to leave out.

        Raises:
            ConfigError: ``miss_rate`` is outside its range.
            DataError: too few photos show a class, or more objects are missed at every threshold; with the numbers.
        """
        return {name: curve.scores[place] for name, (curve, place) in self._chosen(miss_rate, without).items()}

    def _chosen(self, miss_rate: float, without: Collection[str] = ()) -> dict[str, tuple[Curve, int]]:
        """Return by class the curve that counts and the place of the threshold on it; see `thresholds`."""
        places, missing = self._places(miss_rate, without)
        if missing:
            raise DataError(self._refusal(missing, miss_rate))
        return places

    def _places(
        self, miss_rate: float, without: Collection[str] = ()
    ) -> tuple[dict[str, tuple[Curve, int]], list[str]]:
        """Return by class the curve that counts and the place of the threshold on it, and the classes without."""
        checked_rate(miss_rate)
        found, missing = {}, []
        for name, own in self.classes.items():
            if name in without:
                continue
            curve = self.together if self.together is not None and not own.is_enough(miss_rate) else own
            drawn = self._drawn("" if curve is self.together else name)
            place = curve.place(miss_rate, drawn) if curve.is_enough(miss_rate) else None
            if place is None:
                missing.append(name)
            else:
                found[name] = (curve, place)
        return found, missing

    def not_alone(self, miss_rate: float) -> tuple[str, ...]:
        """Return the classes that have too few photos for a threshold of their own."""
        return tuple(name for name, curve in self.classes.items() if not curve.is_enough(miss_rate))

    def false_answers(self, miss_rate: float) -> dict[str, float]:
        """Return the false answers of each class per photo of the split at `thresholds`; nan for those of `not_alone`.

        Raises:
            DataError: see `thresholds`.
        """
        places = self._chosen(miss_rate).items()
        return {name: float("nan") if c is self.together else c.false[place] for name, (c, place) in places}

    def to_frame(self, miss_rate: float = 0.05) -> pd.DataFrame:
        """Return a row for each class: ``shown``, ``units``, ``threshold``, ``false`` answers per photo, ``own``.

        Args:
            miss_rate: see `thresholds`.

        Raises:
            DataError: see `thresholds`.
        """
        import pandas as pd  # noqa: PLC0415

        chosen, false, pooled = self.thresholds(miss_rate), self.false_answers(miss_rate), self.not_alone(miss_rate)
        rows = [
            {"class": name, "shown": curve.shown, "units": curve.units, "threshold": chosen[name]}
            | {"false": false[name], "own": name not in pooled}
            for name, curve in self.classes.items()
        ]
        return pd.DataFrame(rows)

    def _drawn(self, name: str) -> float:
        """Return a number in 0..1 that is always the same for these photos and this class, see `Curve.place`."""
        digits = hashlib.sha256(f"{self.manifest_hash}\0{self.split}\0{name}".encode()).digest()[:6]
        return (int.from_bytes(digits, "big") + 1) / 2**48

    def _refusal(self, names: Sequence[str], miss_rate: float) -> str:
        needed, once = units_needed(miss_rate), "photos of one group count once"
        head = f"miss_rate={miss_rate}: expected at least {needed} photos of {self.split}"
        curves = {name: self.together or self.classes[name] for name in names}
        least = max(curve.lowest_rate for curve in curves.values())
        higher = f"a rate of {math.ceil(1000 * least) / 1000:.3f} or more" if least <= 0.5 else "none"
        more = f"calibrate with more labelled photos, or ask for {higher}"
        if self.together is not None:
            return f"{head}, found {self.together.units} ({once}); {more}"
        few = [f"{name!r} with {curve.units}" for name, curve in curves.items() if not curve.is_enough(miss_rate)]
        lost = [f"{name!r} {curve.lowest_rate:.3f}" for name, curve in curves.items() if curve.is_enough(miss_rate)]
        reasons = [f"{head} of each class, found {', '.join(few[:5])} ({once})"] if few else [f"miss_rate={miss_rate}"]
        if lost:
            reasons.append(f"objects that are never found make the lowest rate of {', '.join(lost[:5])}")
        return f"{'; '.join(reasons)}; {more}, or choose such thresholds yourself: threshold={{{names[0]!r}: 0.25}}"

    def __str__(self) -> str:
        lines = [f"calibrated on {count(self.n_photos, 'photo')} of {self.split}"]
        if self.log_loss and self.ece:
            lines.append(
                f"temperature {self.temperature:.3g}: log loss {self.log_loss[0]:.4f} -> {self.log_loss[1]:.4f}, "
                f"calibration error {self.ece[0]:.4f} -> {self.ece[1]:.4f}"
            )
        lines += [f"miss_rate={rate}: {self._in_words(rate)}" for rate in _SHOWN_RATES]
        return "\n".join(lines)

    def _in_words(self, rate: float) -> str:
        places, missing = self._places(rate)
        if missing:
            return f"not for {_some(missing)}"
        if few := self.not_alone(rate):
            return f"holds for all classes together, not by itself for {_some(few)}"
        return f"{sum(curve.false[place] for curve, place in places.values()):.3g} false answers per photo"

    def _repr_html_(self) -> str:
        first, *lines = str(self).splitlines()
        return table(first, ["", ""], [line.split(": ", 1) for line in lines])


def calibration_of(
    evidence: Evidence, class_names: Sequence[str], *, model: str, split: str, manifest_hash: str
) -> Calibration:
    """Compute a calibration from the evidence of validation photos.

    Args:
        evidence: of the photos.
        class_names: C.
        model: fingerprint.
        split: of the photos.
        manifest_hash: of their manifest.
    """
    fitted: dict[str, Any] = {}
    if evidence.temperature is not None:
        value, log_loss, ece = evidence.temperature
        fitted = {"temperature": value, "log_loss": log_loss, "ece": ece}
    return Calibration(
        model=model,
        split=split,
        manifest_hash=manifest_hash,
        n_photos=evidence.n_photos,
        classes={name: evidence.curve(i) for i, name in enumerate(class_names)},
        together=evidence.curve(None) if evidence.exclusive else None,
        **fitted,
    )


def checked_rate(miss_rate: float) -> float:
    """Return a rate.

    Raises:
        ConfigError: it is outside its range.
    """
    return number("miss_rate", miss_rate, "a share above 0, at most 0.5, such as 0.05", least=1e-6, most=0.5)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + " and others" * (len(names) > 5)
