"""XML: the two lines that every builder of domain XML needs."""

import xml.etree.ElementTree as ET


def leaf(parent: ET.Element, tag: str, text: str | None = None, **attributes: str) -> ET.Element:
    """A new child."""
    element = ET.SubElement(parent, tag, attributes)
    element.text = text
    return element
