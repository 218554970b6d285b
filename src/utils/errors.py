"""What is shown to people as a sentence instead of a traceback."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Something the person at the command line can mend.

    The message is a letter to a tired colleague: where, what was met, what was expected,
    what to do. Entry points print it as one line and exit non-zero; anything else that
    reaches them is a bug of ours and keeps its traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(str(message).split()))


class NotInstalled(UserError):
    """What this machine lacks. No row of a corpus is to blame, so none is left out for it."""


def nearest(word: str, known: Iterable[str], within: str = "") -> str:
    """The end of a sentence about an unknown word: what was perhaps meant, or what there is.

    Args:
        within: what stands before each word where it is to be typed, as `model.` of a key.
    """
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean {within}{close[0]}?"
    return f"; there are {', '.join(known)}." if known else "."
