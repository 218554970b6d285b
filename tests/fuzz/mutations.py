"""Damage as disks, networks, editors and people do it, chosen by a random generator."""

from collections.abc import Callable, Sequence

import numpy as np

Random = np.random.Generator

_WIDTHS = (1, 2, 4, 8)  # bytes of a number in a header
_HEAD = 256  # bytes in which most formats have their header
_PIECES = (
    *("\0", "\ufeff", "\u2028", "\t", "\r", "é", "ß", "𝄞", "‮", '"', "'", "{", "}", "[", "]"),
    *(":", ",", "#", "-", "&a", "*a", "!!python/name:os.system ", "<<: ", "${x}", "null", "true"),
    *("0", "-1", "1e999", "nan", ".inf", "9" * 30, "/", "../", "\\", "  ", "\n", "\n\n", "%s"),
)


def damaged(content: bytes, random: Random, donors: Sequence[bytes] = ()) -> tuple[bytes, str]:
    """One to three mutations of a binary file, and their names.

    Args:
        donors: other files, from which pieces may be taken.
    """
    names = []
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        mutate = _BINARY[random.integers(len(_BINARY))]
        donor = donors[random.integers(len(donors))] if donors else content
        content = mutate(content, random, donor)
        names.append(mutate.__name__.strip("_"))
    return content, "+".join(names)


def scribbled(text: str, random: Random) -> bytes:
    """One to four mutations of a text file; now and then its bytes are damaged instead."""
    if random.random() < 0.15:
        return damaged(text.encode(), random)[0]
    for _ in range(random.integers(1, 5)):
        mutate = _TEXTUAL[random.integers(len(_TEXTUAL))]
        text = mutate(text, random)
    return text.encode("utf-8", "surrogatepass")


def _position(content: bytes, random: Random) -> int:
    """Anywhere, but half the time in the header."""
    if not content:
        return 0
    end = len(content) if random.random() < 0.5 else min(len(content), _HEAD)
    return int(random.integers(end))


def _span(content: bytes, random: Random) -> tuple[int, int]:
    """A range whose length is log-uniform, so that short and long ones both occur."""
    start = _position(content, random)
    longest = max(2, len(content) - start)
    return start, start + int(np.exp(random.uniform(0, np.log(longest))))


def _flip(content: bytes, random: Random, donor: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(random.integers(1, 9)):
        if changed:
            changed[_position(content, random)] ^= 1 << int(random.integers(8))
    return bytes(changed)


def _truncate(content: bytes, random: Random, donor: bytes) -> bytes:
    return content[: _position(content, random)]


def _zero(content: bytes, random: Random, donor: bytes) -> bytes:
    start, stop = _span(content, random)
    return content[:start] + bytes(len(content[start:stop])) + content[stop:]


def _delete(content: bytes, random: Random, donor: bytes) -> bytes:
    start, stop = _span(content, random)
    return content[:start] + content[stop:]


def _repeat(content: bytes, random: Random, donor: bytes) -> bytes:
    start, stop = _span(content, random)
    return content[:stop] + content[start:stop] + content[stop:]


def _splice(content: bytes, random: Random, donor: bytes) -> bytes:
    """A piece of the donor over or between what was there."""
    start, stop = _span(donor, random)
    piece, place = donor[start:stop], _position(content, random)
    rest = place + len(piece) if random.random() < 0.5 else place
    return content[:place] + piece + content[rest:]


def _noise(content: bytes, random: Random, donor: bytes) -> bytes:
    start, stop = _span(content, random)
    return content[:start] + random.bytes(len(content[start:stop])) + content[stop:]


def _number(content: bytes, random: Random, donor: bytes) -> bytes:
    """A header's field set to a number that programs stumble over."""
    width = int(random.choice(_WIDTHS))
    top = 1 << (8 * width)
    values = [0, 1, 2, top - 1, top // 2, top // 2 - 1, top // 4, top - 4, len(content) % top]
    value = values[random.integers(len(values))]
    order = "little" if random.random() < 0.5 else "big"
    place = _position(content, random)
    return content[:place] + value.to_bytes(width, order) + content[place + width :]


_BINARY: list[Callable[[bytes, Random, bytes], bytes]] = [
    *(_flip, _flip, _truncate, _zero, _delete, _repeat, _splice, _noise, _number, _number),
]


def _lines_changed(change: Callable[[list[str], Random], list[str]]):
    def mutate(text: str, random: Random) -> str:
        return "".join(change(text.splitlines(keepends=True) or [""], random))

    return mutate


def _line_lost(lines: list[str], random: Random) -> list[str]:
    del lines[random.integers(len(lines))]
    return lines


def _line_twice(lines: list[str], random: Random) -> list[str]:
    i = random.integers(len(lines))
    return [*lines[:i], lines[i], *lines[i:]]


def _lines_swapped(lines: list[str], random: Random) -> list[str]:
    i, j = random.integers(len(lines), size=2)
    lines[i], lines[j] = lines[j], lines[i]
    return lines


def _piece_inserted(text: str, random: Random) -> str:
    place = int(random.integers(len(text) + 1))
    return text[:place] + _PIECES[random.integers(len(_PIECES))] + text[place:]


def _word_replaced(text: str, random: Random) -> str:
    words = text.split(" ")
    words[random.integers(len(words))] = _PIECES[random.integers(len(_PIECES))]
    return " ".join(words)


def _characters_lost(text: str, random: Random) -> str:
    place = int(random.integers(len(text) + 1))
    return text[:place] + text[place + int(random.integers(1, 6)) :]


def _character_changed(text: str, random: Random) -> str:
    if not text:
        return text
    place = int(random.integers(len(text)))
    return text[:place] + chr(int(random.integers(32, 0x250))) + text[place + 1 :]


def _text_cut(text: str, random: Random) -> str:
    return text[: int(random.integers(len(text) + 1))]


def _made_long(text: str, random: Random) -> str:
    place = int(random.integers(len(text) + 1))
    return text[:place] + _PIECES[random.integers(len(_PIECES))] * 3000 + text[place:]


_TEXTUAL: list[Callable[[str, Random], str]] = [
    *map(_lines_changed, (_line_lost, _line_twice, _lines_swapped)),
    *(_piece_inserted, _piece_inserted, _word_replaced, _word_replaced, _characters_lost),
    *(_character_changed, _character_changed, _text_cut, _made_long),
]
