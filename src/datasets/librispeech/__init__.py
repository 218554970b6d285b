"""LibriSpeech as it is published, by the million utterances: folder → columns → a file of them.

`scan` reads the folder, `index` keeps what it read, `rows` joins parts, `corpus` serves them.
"""
