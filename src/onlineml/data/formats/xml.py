"""XML from anywhere, without document types and entities."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

from defusedxml.ElementTree import fromstring

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["parsed_xml"]


def parsed_xml(data: bytes) -> Element:
    """Return the root of an XML document.

    Raises:
        ValueError: the data is not XML, or has a DTD or entities, which are refused without being read.
    """
    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except (ParseError, ValueError, LookupError) as error:  # defusedxml's exceptions are ValueErrors
        raise ValueError(f"{type(error).__name__} {error}".strip()) from error
    except RecursionError:
        raise ValueError("elements are nested too deeply") from None
    return root
