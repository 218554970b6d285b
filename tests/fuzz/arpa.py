"""Language models in ARPA files. Text carries no checksum: another digit is read as it stands, so
what is accepted must be a back-off model that means what its lines say."""

import gzip
import math
from pathlib import Path

import numpy as np

from src.language_models import EOS, NGram, estimate, read_arpa, write_arpa
from tests.fuzz.mutations import damaged, scribbled
from tests.fuzz.pool import expect
from tests.language_models.models import as_dict, history, log_prob

TEXT = ("it is a truth", "it is not", "a truth is a truth", "é is not a", "it's a", "is it a truth")


def tampered(content: str, random: np.random.Generator) -> bytes:
    """One to three fields of n-grams altered, so that the file stays whole in most."""
    lines = content.splitlines()
    places = [i for i, line in enumerate(lines) if "\t" in line]
    for _ in range(random.integers(1, 4)):
        i, j = random.choice(places, 2)
        ours, theirs = lines[i].split("\t"), lines[j].split("\t")
        field = int(random.integers(min(len(ours), len(theirs))))
        if random.random() < 0.5 and field != 1:
            theirs[field] = f"{float(theirs[field]) * random.normal(0, 2):.{random.integers(9)}g}"
        ours[field] = theirs[field]
        lines[i] = "\t".join(ours)
    return "\n".join(lines).encode()


class Arpa:
    """Written by us, as text and gzip, of orders 1 to 4, whole and pruned."""

    name = "arpa"

    def prepare(self, originals: Path) -> None:
        text = [line.split() for line in TEXT]
        for order in range(1, 5):
            grams = estimate(text, order, (0, 0, 1)[:order] if order % 2 else ())
            write_arpa(grams, originals / f"{order}.arpa")

    def mutate(self, originals: Path, case: Path, random: np.random.Generator) -> None:
        content = (originals / f"{random.integers(1, 5)}.arpa").read_text()
        kind = random.integers(4)
        if kind == 0:
            changed = damaged(gzip.compress(content.encode(), mtime=0), random)[0]
        else:
            changed = tampered(content, random) if kind < 3 else scribbled(content, random)
        if kind == 1:
            changed = gzip.compress(changed, mtime=0)
        (case / "model.arpa").write_bytes(changed)

    def check(self, originals: Path, case: Path) -> None:
        model, grams = NGram.load(case / "model.arpa"), read_arpa(case / "model.arpa")
        known = as_dict(grams)
        expect(len(known) == len(grams), "an n-gram is listed twice")
        expect(all(gram[:-1] in known for gram in known if len(gram) > 1), "no beginning")
        expect(all(-300 < p <= 0 and -300 < b < 300 for p, b in known.values()), "out of range")
        for line in TEXT:
            words, before = [*line.split(), EOS], []
            for word, score in zip(words, model.sentence(words[:-1], begins=False), strict=True):
                place = model.find(word)
                word = model.words[place] if place >= 0 else ""
                expected = log_prob(known, history(grams.order, before), word)
                expect(score == expected or math.isclose(score, expected, abs_tol=1e-3), f"{line}")
                before.append(word)
        write_arpa(grams, case / "again.arpa")
        expect(as_dict(read_arpa(case / "again.arpa")) == known, "written, it is another")


KINDS = [Arpa()]
