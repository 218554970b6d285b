"""Folders of predictions, scored by calc_wer_cer.py. JSON carries no checksum: other letters of a
text are counted as they stand, against an edit distance of our own."""

import contextlib
import io
import json
import math
from pathlib import Path

import numpy as np

import calc_wer_cer
from tests.fuzz.mutations import scribbled
from tests.fuzz.pool import expect

PAIRS = {"a": ("good morning", "good mourning"), "b": ("it's a fine day", "is a fine day")}


class Predictions:
    """Two whole files and a damaged one."""

    name = "predictions"

    def prepare(self, originals: Path) -> None:
        for name, (said, read) in PAIRS.items():
            record = {"id": name, "pred_text": read, "text": said, "unit": "character"}
            (originals / f"{name}.json").write_text(json.dumps(record, indent=1))
        record = {"id": "c", "pred_text": "N OW", "text": "N OW | Y EH S", "unit": "phoneme"}
        record |= {"pred_word": "no", "word": "no yes", "n_best": [{"text": "N OW", "score": -1.5}]}
        (originals / "c.json").write_text(json.dumps(record, indent=1))

    def mutate(self, originals: Path, case: Path, random: np.random.Generator) -> None:
        names = sorted(path.name for path in originals.iterdir())
        chosen = names[random.integers(len(names))]
        for name in names:
            content = (originals / name).read_text()
            changed = scribbled(content, random) if name == chosen else content.encode()
            (case / name).write_bytes(changed)

    def check(self, originals: Path, case: Path) -> None:
        stdout, stderr = io.StringIO(), io.StringIO()
        stdout.reconfigure = stderr.reconfigure = lambda **how: None
        arguments = ["--dir_path", str(case), "--json", "--normalise", "none", "--worst", "3"]
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            status = calc_wer_cer.main([*arguments, "--n_resamples", "20"])
        report = json.loads(stdout.getvalue())
        n_left_out = len(report["skipped"])
        expect(report["n_utterances"] + n_left_out == 3, "a file was lost")
        expect(status == (1 if n_left_out else 0), f"status {status} with {n_left_out} left out")
        for score in report["scores"].values():
            expect(score["rate"] is None or math.isfinite(score["rate"]), f"{score}")
        self._check_errors(case, report)

    def _check_errors(self, case: Path, report: dict) -> None:
        skipped = {skip["file"] for skip in report["skipped"]}
        n_errors = 0
        for path in case.glob("*.json"):
            if path.name not in skipped:
                record = json.loads(path.read_bytes())
                if record.get("unit", "character") != "phoneme":
                    n_errors += _distance(record["text"].split(), record["pred_text"].split())
        score = report["scores"].get("wer", {})
        found = sum(score.get(kind, 0) for kind in ("substitutions", "deletions", "insertions"))
        expect(found == n_errors, f"{found} word errors instead of {n_errors}")


KINDS = [Predictions()]


def _distance(a: list[str], b: list[str]) -> int:
    """Levenshtein's."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, start=1):
        previous, row[0] = row[0], i
        for j, right in enumerate(b, start=1):
            change = previous + (left != right)
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, change)
    return row[-1]
