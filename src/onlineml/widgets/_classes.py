"""The classes that a view offers, with their keys and colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.errors import ConfigError
from onlineml.inference.drawing import box_colour

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["checked_keys", "class_facts", "key_of"]

_KEYS = "123456789abcdefghijklmnopqrstuvwxyz"
_COMMANDS = "/?+-=,.#"  # keys of the views themselves


def checked_keys(keys: Mapping[str, str] | None, class_names: Sequence[str]) -> dict[str, str]:
    """Check a person's own keys by class.

    Raises:
        ConfigError: a class does not exist; a key is not one visible character, a command, or given twice.
    """
    found = {name: key.lower() for name, key in (keys or {}).items()}
    unknown = sorted(set(found) - set(class_names))
    if unknown:
        raise ConfigError(f"keys={keys}: there is no class {unknown[0]!r}; the classes are: {', '.join(class_names)}")
    for name, key in found.items():
        if len(key) != 1 or not key.isprintable() or key.isspace() or key in _COMMANDS:
            raise ConfigError(f"keys: {key!r} of {name!r}: expected one character, and none of {' '.join(_COMMANDS)}")
    if len(set(found.values())) < len(found):
        raise ConfigError(f"keys={keys}: a key is given to two classes")
    return found


def key_of(class_names: Sequence[str], *, chosen: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the key of each class: a chosen one; its name, if that is a digit or letter; else the next free one.

    Digits are given before letters; when both are used up, further classes have no key.
    """
    found = dict(chosen or {})
    for name in class_names:
        own = name.lower()
        if name not in found and len(own) == 1 and own in f"0{_KEYS}" and own not in found.values():
            found[name] = own
    taken = set(found.values())
    free = (key for key in _KEYS if key not in taken)
    without = [name for name in class_names if name not in found]
    return found | dict(zip(without, free, strict=False))


def class_facts(class_names: Sequence[str], chosen: Mapping[str, str]) -> list[dict[str, str]]:
    """Return what the front end is told of each class."""
    keys = key_of(class_names, chosen=chosen)
    return [{"name": one, "key": keys.get(one, ""), "color": box_colour(i)} for i, one in enumerate(class_names)]
