"""Attributes of the VGG Image Annotator: which of them is the class, and the texts that a value holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onlineml.data.formats.columns import label_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["attribute_texts", "chosen_attribute"]

_OF_VIA = frozenset({"caption", "public_domain", "image_url"})  # that its demonstration has for files


def attribute_texts(value: Any) -> list[str]:
    """Return the texts of a value: of check boxes, ``{"cat": true, "dog": false}``, those that are checked."""
    if isinstance(value, dict):
        return [str(text) for text, checked in value.items() if checked]
    if isinstance(value, list):
        return [str(text) for text in value]
    return [] if value is None or str(value).strip() in {"", "undefined"} else [str(value).strip()]


def chosen_attribute(given: Sequence[Mapping[str, Any]], name: str | None) -> str | None:
    """Return the attribute that is the class: the named one, the only one with values, or one called class or alike.

    Args:
        given: the attributes of each region, or each file.
        name: None if none was named.

    Returns:
        None if there is none, or several could be it. Without any value, one called class or alike may be empty.
    """
    told = dict.fromkeys(
        key for own in given for key, value in own.items() if key not in _OF_VIA and attribute_texts(value)
    )
    if name is not None:
        return name if any(name in own for own in given) else None
    if len(told) == 1:
        return next(iter(told))
    named = told or dict.fromkeys(key for own in given for key in own)
    return label_key(tuple(named), "name", "type", "object")
