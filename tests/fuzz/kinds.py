"""Every kind of input that a user's machine may damage. (ARPA files are not read yet.)"""

from tests.fuzz import audio, checkpoints, commands, configs, corpora, lists, predictions

ROOMS = (audio, corpora, commands, checkpoints, configs, predictions, lists)
KINDS = [kind for room in ROOMS for kind in room.KINDS]
