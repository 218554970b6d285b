"""HTML and SVG built from elements, so that no text can become markup.

Every string that is not `Markup` is escaped, in content and in attributes alike; only `tag` makes
`Markup`. Whoever adds a part to the page can't forget it.
"""

import base64
import html
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

VOID = {"br", "hr", "img", "meta"}  # elements without an end
STYLE = Path(__file__).with_name("style.css")
# Even if an element slipped through: a browser runs no script here and asks nobody for anything.
POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """An element. Children that are no Markup are escaped; None among them is nothing.

    Args:
        attributes: `class_` is class, `aria_label` is aria-label; True is an attribute without a
            value, None and False are none.
    """
    opened = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{name}{opened}>")
    return Markup(f"<{name}{opened}>{join(*children)}</{name}>")


def join(*children: object) -> Markup:
    """Children one after another, escaped as in `tag`."""
    return Markup("".join(escape(child) for child in children if child is not None))


def escape(value: object) -> Markup:
    """Text as it reads, never as markup; characters that no page may hold become �."""
    return value if isinstance(value, Markup) else Markup(html.escape(_printable(str(value))))


def data_uri(kind: str, content: bytes) -> str:
    """A file inside the page, such as kind "audio/wav"."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def rows(cells: list[list[object]], header: list[str], caption: str) -> Markup:
    """A table that scrolls sideways where the screen is narrower; numbers stand to the right."""
    styles = [
        "number" if all(_is_number(row[column]) for row in cells) else None
        for column in range(len(header))
    ]
    head = [
        tag("th", name, scope="col", class_=style)
        for name, style in zip(header, styles, strict=True)
    ]
    body = [tag("tr", *_row(row, styles)) for row in cells]
    table = tag(
        "table", tag("caption", caption), tag("thead", tag("tr", *head)), tag("tbody", *body)
    )
    return scrolling(table, caption)


def scrolling(content: Markup, label: str) -> Markup:
    """A frame that scrolls sideways, by keyboard too."""
    return tag("div", content, class_="scroll", role="region", aria_label=label, tabindex="0")


def folded(summary: str, *children: object) -> Markup:
    """What opens when somebody wants to see it."""
    return tag("details", tag("summary", summary), *children)


def page(title: str, *body: Markup, style: str = "") -> Markup:
    """The whole document; `style` is CSS beside that of every page."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(STYLE.read_text(encoding="utf-8") + style)),
    )
    return join(Markup("<!DOCTYPE html>\n"), tag("html", head, tag("body", *body), lang="en"))


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(value)}"'


def _row(cells: list[object], styles: list[str | None]) -> Iterator[Markup]:
    """The first cell names the row."""
    for column, (cell, style) in enumerate(zip(cells, styles, strict=True)):
        name, scope = ("td", None) if column else ("th", "row")
        yield tag(name, cell, scope=scope, class_=style)


def _is_number(cell: object) -> bool:
    return not isinstance(cell, Markup) and bool(re.match(r"[-−+]?\d|–$|n/a$", str(cell)))


def _printable(text: str) -> str:
    """Without control characters and the halves of surrogates that a file name may hold."""
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs") else "�" for c in text
    )
