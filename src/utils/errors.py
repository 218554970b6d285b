"""The one exception that is shown to people as a sentence instead of a traceback."""


class UserError(ValueError):
    """Something the person at the command line can mend.

    The message is a letter to a tired colleague: where, what was met, what was expected,
    what to do. Entry points print it as one line and exit non-zero; anything else that
    reaches them is a bug of ours and keeps its traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(str(message).split()))
