"""XML from anywhere, without document types and entities."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

from defusedxml.ElementTree import fromstring

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["parsed_xml"]

_DECLARED = re.compile(rb"""<\?xml[^>]*?\sencoding\s*=\s*["']([\w.-]+)["'][^>]*\?>""")
_EAST_ASIAN = {b"gb2312", b"gbk", b"gb18030", b"big5", b"shift_jis", b"euc-jp", b"euc-kr"}


def parsed_xml(data: bytes) -> Element:
    """Return the root of an XML document, in any encoding of XML or a common one of East Asia.

    Raises:
        ValueError: the data is not XML, or has a DTD or entities, which are refused without being read.
    """
    try:
        if (declared := _DECLARED.match(data)) and declared[1].lower() in _EAST_ASIAN:  # which expat does not know
            data = data[declared.end() :].decode(declared[1].decode()).encode()
        root: Element = fromstring(data, forbid_dtd=True)
    except (ParseError, ValueError, LookupError) as error:  # defusedxml's exceptions are ValueErrors
        raise ValueError(f"{type(error).__name__} {error}".strip()) from error
    except RecursionError:
        raise ValueError("elements are nested too deeply") from None
    return root
