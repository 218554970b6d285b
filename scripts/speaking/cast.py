"""Who speaks in a generated corpus: eSpeak NG's accents and voices, cast into disjoint parts."""

import hashlib
from dataclasses import astuple, dataclass

import numpy as np

from src.utils.errors import UserError

SHARES = {"train": 0.75, "validation": 0.10, "test": 0.15}  # of the speakers

# English as the library speaks it. Left out: Shavian, which is an alphabet and not an accent.
ACCENTS = (
    "en-gb",
    "en-gb-x-rp",
    "en-gb-scotland",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-029",
    "en-us",
)
TEST_ONLY_ACCENT = "en-us-nyc"

# A line holds variants that could pass for one throat; such a family stays in one part, so no
# voice of one part is close to a voice of another (the tests measure it on their spectra).
# Left out: whispers, croaks, robots, demons and echoing halls.
VARIANTS = {
    "train": (
        *("Alex", "max", "RicishayMax"),
        *("RicishayMax2", "RicishayMax3", "m8"),
        *("adam", "benjamin", "edward2", "klatt6", "Reed"),
        *("aunty", "f3", "f4", "linda"),
        *("Gene", "Gene2"),
        *("klatt", "klatt2"),
        *("m4", "m5"),
        *("m6", "grandpa"),
        *("michel", "miguel"),
        *("Alicia", "Andrea", "anika", "belinda", "shelby", "zac"),
        *("antonio", "boris", "caleb", "david", "ed", "edward", "ian", "iven", "iven3", "iven4"),
        *("Jacky", "kaukovalta", "Lee", "m1", "m2", "m7", "Marco", "Mario", "Mike", "mike2"),
        *("norbert", "pablo", "paul", "sandro", "travis", "victor"),
    ),
    "validation": (
        *("gustave", "marcelo", "Michael"),
        *("john", "pedro"),
        *("Andy", "f1", "grandma"),
    ),
    "test": (
        *("Diogo", "Henrique", "Hugo"),
        *("f2", "f5"),
        *("klatt3", "klatt4", "klatt5"),
        *("quincy", "rob", "robert"),
        *("steph", "steph2", "steph3"),
        *("Annie", "Denis", "m3", "Nguyen"),
    ),
}


@dataclass(frozen=True, slots=True)
class Speaker:
    """One voice, and the habits it keeps for all its words."""

    part: str  # "train", "validation" or "test"
    accent: str
    variant: str
    pitch: int  # 0 … 100, eSpeak's scale around the variant's own pitch
    pitch_range: int  # 0 (monotone) … 100
    words_per_minute: int
    seed: tuple[int, int]  # of the corpus, and the speaker's number in it

    @property
    def id(self) -> str:
        """Eight hexadecimal digits, as in the official corpus."""
        return hashlib.sha256(repr(astuple(self)).encode()).hexdigest()[:8]


def cast_speakers(n_speakers: int, seed: int) -> list[Speaker]:
    """Draw the speakers of all parts; the same for the same arguments.

    Variants take turns, so that each is heard as often as any other of its part; everything
    else is drawn for each speaker. No variant is in two parts, and `TEST_ONLY_ACCENT` is one
    of the accents of the test part and of no other.

    Raises:
        UserError: too few speakers for every part to have one.
    """
    sizes = {part: round(share * n_speakers) for part, share in SHARES.items()}
    sizes["train"] += n_speakers - sum(sizes.values())
    if min(sizes.values()) < 1:
        raise UserError(
            f"n_speakers={n_speakers} leaves a part without a speaker "
            f"({', '.join(f'{part} {size}' for part, size in sizes.items())}); take 10 or more."
        )
    speakers: list[Speaker] = []
    for part, size in sizes.items():
        accents = (*ACCENTS, TEST_ONLY_ACCENT) if part == "test" else ACCENTS
        for i in range(size):
            number = len(speakers)
            rng = np.random.default_rng([seed, number, 0])
            speakers.append(
                Speaker(
                    part=part,
                    accent=accents[int(rng.integers(len(accents)))],
                    variant=VARIANTS[part][i % len(VARIANTS[part])],
                    pitch=int(rng.integers(25, 76)),
                    pitch_range=int(rng.integers(20, 81)),
                    words_per_minute=int(rng.integers(110, 221)),
                    seed=(seed, number),
                )
            )
    return speakers
