"""What the decoders did, as tables for people and as JSON."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.benchmarks.decoders_race import Outcome, shown
from scripts.benchmarks.decoders_task import Heard, Task
from scripts.benchmarks.race import Spread
from scripts.benchmarks.report import environment
from src.utils.files import write_json
from src.utils.tables import counted, percent, table


def everything(outcomes: Sequence[Outcome]) -> str:
    """Errors and speed of every setting."""
    rows = [
        (
            outcome.team,
            shown(outcome.setting),
            f"{100 * outcome.wer:.2f}",
            f"{100 * outcome.cer:.2f}",
            spread(outcome.speed),
            f"{outcome.cpu_us:.1f}",
        )
        for outcome in outcomes
    ]
    return table(rows, ("", "setting", "WER %", "CER %", "frames/s", "CPU µs a frame"))


def fastest(outcomes: Sequence[Outcome], most_wer: float) -> str:
    """The cheapest setting of each decoder whose WER is at most `most_wer`, beside flashlight's:
    how many times faster by the clock, and by the processor's time."""
    best = best_of(outcomes, most_wer)
    peer, rows = best.get("flashlight"), []
    for name in dict.fromkeys(outcome.team for outcome in outcomes):
        if name not in best:
            rows.append((name, "none of its settings", *[""] * 5))
            continue
        one, times = best[name], ("", "")
        if peer:
            times = spread(one.times_faster(peer), 2), f"{peer.cpu_us / one.cpu_us:.2f}"
        found = f"{100 * one.wer:.2f}", spread(one.speed), f"{one.cpu_us:.1f}"
        rows.append((name, shown(one.setting), *found, *times))
    header = ("WER %", "frames/s", "CPU µs a frame", "× flashlight", "by CPU")
    return table(rows, (f"WER ≤ {100 * most_wer:.2f} %", "setting", *header))


def best_of(outcomes: Sequence[Outcome], most_wer: float) -> dict[str, Outcome]:
    """Of each team, among the outcomes with at most this WER, the one that costs least.

    By the processor's time: the clock is at the mercy of other jobs.
    """
    good = [outcome for outcome in outcomes if outcome.wer <= most_wer + 1e-9]
    dear_first = sorted(good, key=lambda outcome: -outcome.cpu_us)
    return {outcome.team: outcome for outcome in dear_first}


def reachable(outcomes: Sequence[Outcome], tolerance: float) -> float:
    """The lowest WER that flashlight (or, without it, ours) came to, and a little more."""
    teams = {outcome.team for outcome in outcomes}
    judge = "flashlight" if "flashlight" in teams else "ours"
    return min(one.wer for one in outcomes if one.team == judge) + tolerance


def breakdown(outcome: Outcome) -> str:
    """Where one setting of ours spends its time."""
    profile = outcome.profile
    rows = [(name, percent(s / profile["all"])) for name, s in profile["functions"].items()]
    return table(rows, (f"{outcome.team} {shown(outcome.setting)}", "of its time"))


def growth(what: str, points: Mapping[str, Sequence[Outcome]]) -> str:
    """Speed of ours and flashlight, as something grows."""
    teams = list(dict.fromkeys(one.team for outcomes in points.values() for one in outcomes))
    rows = []
    for value, outcomes in points.items():
        by_team = {outcome.team: outcome for outcome in outcomes}
        speeds = [spread(by_team[name].speed) for name in teams]
        wers = [f"{100 * by_team[name].wer:.2f}" for name in teams]
        cpu_us = [by_team[name].cpu_us for name in teams]
        ratio = f"{cpu_us[1] / cpu_us[0]:.2f}" if len(teams) == 2 else ""
        rows.append((value, *speeds, *(f"{us:.1f}" for us in cpu_us), ratio, *wers))
    units = ("frames/s", "CPU µs", "WER %")
    speeds, costs, wers = ([f"{name}, {unit}" for name in teams] for unit in units)
    header = (what, *speeds, *costs, "× by CPU", *wers)
    return table(rows, header)


def spread(found: Spread, digits: int = 0) -> str:
    """`12,300 (11,900 … 12,800)`: median and range."""
    ends = f"{found.least:,.{digits}f} … {found.most:,.{digits}f}"
    return f"{found.median:,.{digits}f} ({ends})"


def title(task: Task, heard: Heard, n_processes: int) -> str:
    """What was decoded, in one line."""
    model = Path(task.language_model).name if task.language_model else "no language model"
    cores = "1 core" if n_processes == 1 else f"{n_processes} cores"
    size = f"{counted(len(heard.texts), 'utterance')}, {heard.n_frames:,} frames"
    return (
        f"{size}, {len(heard.symbols)} symbols, {model}, "
        f"weight {task.lm_weight:g}, bonus {task.bonus:g}, {cores}"
    )


def save(path: Path, measured: Sequence[tuple[str, Sequence[Outcome]]]) -> None:
    """Everything that was measured, with the machine and the commit, as JSON."""
    runs = [{"title": name, "outcomes": [plain(one) for one in found]} for name, found in measured]
    write_json(path, {"environment": environment(), "runs": runs})


def plain(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON can hold it."""
    return {**vars(outcome), "setting": dict(outcome.setting), "speeds": outcome.speeds}
