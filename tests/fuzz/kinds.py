"""Every kind of input that a user's machine may damage."""

from tests.fuzz import arpa, audio, checkpoints, commands, configs, corpora, lists, predictions

ROOMS = (audio, corpora, commands, checkpoints, configs, predictions, lists, arpa)
KINDS = [kind for room in ROOMS for kind in room.KINDS]
