"""Every kind of input that a user's machine may damage."""

from tests.fuzz import audio, commands

KINDS = [*audio.KINDS, *commands.KINDS]
