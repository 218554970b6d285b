"""A page taken apart by the standard library's parser, which runs nothing."""

import base64
import io
from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np
import soundfile

VOID = {"br", "hr", "img", "meta"}


@dataclass
class Element:
    """A tag with its attributes, what is in it, and its text without that of elements within."""

    name: str
    attributes: dict[str, str | None]
    children: list["Element"] = field(default_factory=list)
    own_text: str = ""

    @property
    def text(self) -> str:
        """All text within, titles of drawings included."""
        return self.own_text + "".join(child.text for child in self.children)

    def all(self, name: str, class_: str | None = None) -> list["Element"]:
        """The elements of that name (and class) within, in the order of the page."""
        found = []
        for child in self.children:
            classes = (child.attributes.get("class") or "").split()
            if child.name == name and (class_ is None or class_ in classes):
                found.append(child)
            found += child.all(name, class_)
        return found

    def everything(self) -> list["Element"]:
        """All elements within."""
        return [e for child in self.children for e in (child, *child.everything())]


class Reader(HTMLParser):
    """Builds the tree; a tag that is not closed where it must be fails."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Element("document", {})]

    def handle_starttag(self, tag, attrs):
        element = Element(tag, dict(attrs))
        assert len(element.attributes) == len(attrs), f"<{tag}> has an attribute twice"
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        closed = self.open.pop()
        assert closed.name == tag, f"</{tag}> closes <{closed.name}>"

    def handle_data(self, data):
        self.open[-1].own_text += data


def read_page(path) -> Element:
    """The tree of a page, after holding what every page of ours promises."""
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    [document] = reader.open
    hold_promises(document)
    return document


def hold_promises(document: Element) -> None:
    """Nothing runs, nothing is fetched, links lead somewhere, pictures and tables have names."""
    elements = document.everything()
    names = {element.name for element in elements}
    assert not names & {"script", "iframe", "object", "embed", "link", "base", "form"}
    assert len(document.all("style")) == 1
    ids = [e.attributes["id"] for e in elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for element in elements:
        for key, value in element.attributes.items():
            assert not key.startswith("on"), element
            if key == "href":
                assert value[0] == "#" and value[1:] in ids
            elif key in ("src", "srcset", "poster", "data", "action"):
                assert value.startswith(("data:image/png;base64,", "data:audio/"))
    assert all(e.attributes["alt"] for e in document.all("img"))
    assert all(
        e.all("title") for e in document.all("svg") if e.attributes.get("aria-hidden") != "true"
    )
    assert all(table.all("caption")[0].text for table in document.all("table"))
    assert {"viewport", "color-scheme"} <= {e.attributes.get("name") for e in document.all("meta")}


def section(document: Element, heading: str) -> Element:
    """The section whose heading begins so."""
    [found] = [s for s in document.all("section") if s.all("h2")[0].text.startswith(heading)]
    return found


def cells(table: Element) -> list[list[str]]:
    """Rows of a table's body."""
    [body] = table.all("tbody")
    return [[cell.text for cell in row.children] for row in body.children]


def bytes_of(uri: str) -> bytes:
    """What a data: URI holds."""
    return base64.b64decode(uri.partition(",")[2], validate=True)


def sound_of(audio: Element) -> tuple[np.ndarray, int]:
    """The samples (N,) of an <audio> and their rate, as libsndfile decodes them."""
    return soundfile.read(io.BytesIO(bytes_of(audio.attributes["src"])), dtype="float32")
