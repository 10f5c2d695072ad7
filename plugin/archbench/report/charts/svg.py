"""SVG as small as it can be for a screen: outlines once, numbers of two decimals, no empty groups.

matplotlib draws a text that has a path effect as one long outline, twice. Here a halo is a second
use of the text's glyphs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_HALO = "halo"
_NUMBER = re.compile(r"-?\d+\.\d+")
_TRANSLATED = re.compile(r"translate\((\S+?)[ ,](\S+?)\)")
_SCALED = re.compile(r"scale\((\S+?)[ ,)]")
_HALO_WIDTH = 1.6


@contextmanager
def glyphs_kept(figure: Figure) -> Iterator[None]:
    """Inside, texts with a halo are written as glyphs, each in a group that :func:`smaller`
    knows."""
    texts = [text for axes in figure.axes for text in axes.texts if text.get_path_effects()]
    kept = [(text, text.get_path_effects(), text.get_gid()) for text in texts]
    for text in texts:
        text.set_path_effects([])
        text.set_gid(_HALO)
    try:
        yield
    finally:
        for text, effects, gid in kept:
            text.set_path_effects(effects)
            text.set_gid(gid)


def smaller(svg: str) -> str:
    """What matplotlib wrote with ``svg.fonttype: path``, looking the same on any screen.

    Places are rounded to a hundredth of a point. Glyphs and markers are drawn by reference.
    """
    ElementTree.register_namespace("", _SVG[1:-1])
    ElementTree.register_namespace("xlink", _LINK[1:].partition("}")[0])
    root = ElementTree.fromstring(svg)
    glyphs = {one.get("id"): one for one in root.iter(f"{_SVG}path") if one.get("id")}
    for group in [one for one in root.iter(f"{_SVG}g") if one.get("id") == _HALO]:
        _add_halo(group, glyphs)
    _name_anew(root)
    _reduce(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, "unicode")}\n'


def _add_halo(group: ElementTree.Element, glyphs: dict[str | None, ElementTree.Element]) -> None:
    """The text once more below itself, with a white outline."""
    (text,) = group.findall(f"{_SVG}g")
    first = next(text.iter(f"{_SVG}use"), None)
    if first is None:
        return
    scale = 1.0
    for element in (text, glyphs[first.get(_LINK, "")[1:]]):
        scaled = _SCALED.search(element.get("transform", ""))
        scale *= float(scaled[1]) if scaled else 1.0
    text.set("id", f"{_HALO}-{id(text)}")
    group.insert(0, ElementTree.Element(f"{_SVG}use", {
        _LINK: f"#{text.get('id')}", "stroke": "#fff", "stroke-opacity": ".8",
        "stroke-width": f"{_HALO_WIDTH / scale:.0f}", "stroke-linejoin": "round",
    }))  # fmt: skip


def _name_anew(root: ElementTree.Element) -> None:
    """Short names for what is referred to, none for the rest."""
    used: dict[str, str] = {}
    for element in root.iter():
        for value in (element.get(_LINK, ""), element.get("clip-path", "")[4:-1]):
            if value:
                used.setdefault(value[1:], f"a{len(used)}")
    for element in root.iter():
        name = used.get(element.attrib.pop("id", ""))
        if name is not None:
            element.set("id", name)
        if element.get(_LINK):
            element.set(_LINK, f"#{used[element.get(_LINK, '')[1:]]}")
        if element.get("clip-path"):
            element.set("clip-path", f"url(#{used[element.get('clip-path', '')[5:-1]]})")


def _reduce(element: ElementTree.Element) -> None:
    """Short numbers and styles; groups that say nothing give way to what they hold."""
    for name in ("d", "x", "y", "width", "height"):
        if name in element.attrib:
            number = _NUMBER.sub(_rounded, " ".join(element.get(name, "").split()))
            element.set(name, re.sub(r" ?([A-Za-z]) ?", r"\1", number))
    if "style" in element.attrib:
        element.set("style", re.sub(r"\s*([:;])\s*", r"\1", element.get("style", "")))
    moved = _TRANSLATED.fullmatch(element.get("transform", ""))
    if moved and element.tag == f"{_SVG}use" and "x" not in element.attrib:
        del element.attrib["transform"]
        places = zip(("x", "y"), moved.groups(), strict=True)
        element.attrib.update(
            {name: _NUMBER.sub(_rounded, place) for name, place in places if float(place)}
        )
    elif "transform" in element.attrib:
        rounded = _TRANSLATED.sub(
            lambda found: _NUMBER.sub(_rounded, found[0]), element.get("transform", "")
        )
        element.set("transform", rounded)
    if element.tag != f"{_SVG}style":
        element.text = None
    element.tail = None
    kept: list[ElementTree.Element] = []
    for child in element:
        _reduce(child)
        if child.tag == f"{_SVG}metadata" or (child.tag == f"{_SVG}defs" and not len(child)):
            continue
        bare = child.tag == f"{_SVG}g" and (not child.attrib or not len(child))
        kept += child if bare else [child]
    element[:] = kept


def _rounded(found: re.Match[str]) -> str:
    return f"{float(found[0]):.2f}".rstrip("0").rstrip(".")
