"""Try thousands of damaged inputs: python -m tests.fuzz.run --kind all --n 5000 --seed 7 --jobs 2

Prints a table; inputs that are not fine stay in the folder --keep, each with what it caused.
One input again: --kind KIND --first NUMBER --n 1, with the same seed.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from src.utils.arguments import whole_number
from src.utils.tables import table
from tests.fuzz.kinds import KINDS
from tests.fuzz.pool import OUTCOMES, fuzz

SHOWN = 20


def main() -> int:
    options = _parser().parse_args()
    kinds = [kind for kind in KINDS if options.kind in ("all", kind.name)]
    options.keep.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="fuzz-", dir=options.keep))
    report = fuzz(kinds, options.n, options.seed, scratch, jobs=options.jobs, first=options.first)
    for finding in report.findings:
        case = scratch / f"{finding.kind}-{finding.index}"
        (case / "finding.txt").write_text(f"{finding.outcome}\n{finding.detail}\n")
    for finding in report.findings[:SHOWN]:
        last = finding.detail.strip().splitlines()[-1][:200] if finding.detail else ""
        print(f"{finding.kind}-{finding.index}: {finding.outcome}: {last}")
    print(table(list(report.rows()), ("kind", "inputs", *OUTCOMES)))
    print(f"findings: {len(report.findings)}, kept in {scratch}")
    return 1 if report.findings else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--kind", default="all", choices=["all", *(kind.name for kind in KINDS)])
    add("--n", type=whole_number(1), default=1000, help="inputs of each kind")
    add("--first", type=whole_number(0), default=0, help="number of the first input")
    add("--seed", type=whole_number(0), default=7)
    add("--jobs", type=whole_number(1), default=1, help="processes")
    add("--keep", type=Path, default=Path(tempfile.gettempdir()) / "fuzz", metavar="FOLDER")
    return parser


if __name__ == "__main__":
    sys.exit(main())
