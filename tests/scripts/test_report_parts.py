"""The pieces of a report, held against brute force and by hand."""

import math
import re
from collections import Counter
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scripts.reporting.charts import MOST_POINTS, Series, heat_map, line_chart, thinned, ticks
from scripts.reporting.markup import escape, join, page, tag
from scripts.reporting.page import duration
from scripts.reporting.recordings import Budget
from scripts.reporting.runs import Run, differing_keys, load_run, name_runs
from scripts.reporting.scores import Confusions, alignment, score
from src.metrics import TextPair
from tests.scripts.html_reader import Reader

SHORT = st.text("abc", max_size=5).map(list)


def best_alignments(said: tuple, heard: tuple) -> tuple[int, set[tuple]]:
    """The fewest errors, and every alignment that has as many: all paths are walked."""

    @cache
    def walk(i: int, j: int) -> tuple[int, frozenset]:
        if i == len(said) and j == len(heard):
            return 0, frozenset([()])
        steps = []
        if i < len(said) and j < len(heard):
            steps.append((said[i], heard[j], i + 1, j + 1))
        if i < len(said):
            steps.append((said[i], "", i + 1, j))
        if j < len(heard):
            steps.append(("", heard[j], i, j + 1))
        found: dict[int, set] = {}
        for a, b, *rest in steps:
            errors, tails = walk(*rest)
            found.setdefault(errors + (a != b), set()).update(((a, b), *tail) for tail in tails)
        fewest = min(found)
        return fewest, frozenset(found[fewest])

    fewest, paths = walk(0, 0)
    return fewest, set(paths)


@given(SHORT, SHORT)
@settings(deadline=None, max_examples=200)
def test_an_alignment_is_one_of_the_best_that_there_are(said, heard):
    fewest, best = best_alignments(tuple(said), tuple(heard))
    ours = alignment(said, heard)
    assert tuple(ours) in best
    assert sum(a != b for a, b in ours) == fewest


@given(st.lists(st.tuples(SHORT, SHORT), max_size=6))
@settings(deadline=None, max_examples=100)
def test_confusions_are_those_of_all_utterances_together(pairs):
    counted, expected, n_errors = Confusions(), Counter(), 0
    for said, heard in pairs:
        counted.count(said, heard)
        fewest, best = best_alignments(tuple(said), tuple(heard))
        n_errors += fewest
        if len(best) == 1:
            expected.update(pair for pair in next(iter(best)) if pair[0] != pair[1])
    assert counted.errors.total() == n_errors
    assert not expected - counted.errors  # whose alignment is the only one counts as it must
    assert counted.said == Counter(unit for said, _ in pairs for unit in said)


def test_the_worst_are_kept_and_nothing_else():
    pairs = [
        TextPair(f"{i}.json", "a b c d", text)
        for i, text in enumerate(["a b c d", "a b c", "a b", "x x x x", "a", "b a d c", "a x"])
    ]
    scores = score(pairs, "here", n_worst=3)
    kept = [(bad.id, bad.errors, bad.rate) for bad in scores.worst]
    # Of equals (4 and 6) the first stays; those without errors never come.
    assert kept == [("3", 4, 1.0), ("4", 3, 0.75), ("5", 3, 0.75)]
    assert score(pairs, "here", n_worst=0).worst == []
    everyone = score(pairs, "here", n_worst=99).worst
    assert [bad.id for bad in everyone] == ["3", "4", "5", "6", "2", "1"]


def test_units_of_phonemes_have_no_word_boundaries():
    scores = score([TextPair("a.json", "N AY | T UW", "N EY T", "phoneme")], "here", 1)
    assert scores.confusions.errors == {("AY", "EY"): 1, ("UW", ""): 1}
    assert scores.confusions.said == {"N": 1, "AY": 1, "T": 1, "UW": 1}
    assert scores.worst[0].pairs == [("N", "N"), ("AY", "EY"), ("T", "T"), ("UW", "")]


@given(st.floats(-1e25, 1e25), st.floats(-1e25, 1e25))
@example(0.0, 5e-324)
@example(-9.999999999999243e24, -9.999999999999251e24)
@settings(deadline=None)
def test_ticks_enclose_their_range_in_even_steps(one, other):
    low, high = sorted((one, other))
    found = ticks(low, high)
    slack = 1e-6 * (abs(low) + abs(high)) + 1e-30  # what nobody can tell from 0 counts as 0
    assert found[0] <= low + slack and found[-1] >= high - slack
    assert 2 <= len(found) <= 9 and all(a < b for a, b in pairwise(found))


@given(st.integers(0, 5000), st.integers(0, 1000))
@settings(deadline=None, max_examples=30)
def test_thinning_keeps_the_extremes(n, where):
    points = [(step, math.sin(step / 50)) for step in range(n)]
    if where < n:
        points[where] = (where, 99.0)
    kept = thinned(points)
    assert len(kept) <= MOST_POINTS and set(kept) <= set(points)
    assert kept == sorted(kept) and (where >= n or (where, 99.0) in kept)
    assert n > MOST_POINTS or kept == points


def test_values_that_are_no_numbers_leave_a_gap_and_no_page_breaks():
    points = [(1, math.nan), (2, math.inf), (3, 1e300), (4, -math.inf), (5, 2.0)]
    drawn = line_chart("Loss", [Series("a", 0, points)], "nats")
    assert drawn.count("<circle") == 1 and "2 at step 5" in drawn
    assert "No finite value" in line_chart("Loss", [Series("a", 0, points[:4])], "nats")


def test_the_strongest_colour_is_what_is_always_heard_wrong():
    confusions = Confusions(Counter(a=4, b=100), Counter({("a", "b"): 4, ("b", "a"): 1}))
    drawn = heat_map(confusions)
    opacity = dict(re.findall(r'fill-opacity="([\d.]+)"><title>(. → .)', drawn))
    assert {told: float(value) for value, told in opacity.items()} == {
        "a → b": 1.0,
        "b → a": pytest.approx(0.08 + 0.92 * 0.1),
    }


@given(st.text())
@settings(deadline=None)
def test_no_text_becomes_markup(text):
    reader = Reader()
    reader.feed(tag("p", text, title=text))
    [document] = reader.open
    [paragraph] = document.children
    assert not paragraph.children and set(paragraph.attributes) == {"title"}
    readable = "".join(
        c if c in "\n\t" or ord(c) >= 160 or 32 <= ord(c) < 127 else "�" for c in text
    )
    readable = re.sub("[\ud800-\udfff]", "�", readable)
    assert paragraph.text == readable.replace("\r\n", "\n")
    page("title", tag("p", text)).encode()  # any page can be written as UTF-8


def test_markup_is_escaped_once():
    inner = tag("b", "<&>")
    assert inner == "<b>&lt;&amp;&gt;</b>"
    assert join(inner, None, 3) == inner + "3" == tag("i", inner, 3)[3:-4]
    assert escape(escape("&")) == "&amp;"
    assert tag("meta", name="a", hidden=True, class_=None) == '<meta name="a" hidden>'


def test_runs_are_named_by_what_tells_them_apart(tmp_path):
    runs = [Run(tmp_path / name) for name in ("a/1/run", "b/1/run", "b/2/run")]
    name_runs(runs)
    assert [run.name for run in runs] == ["a/1/run", "b/1/run", "b/2/run"]
    name_runs(runs[1:])
    assert [run.name for run in runs[1:]] == ["1/run", "2/run"]


def test_only_keys_that_differ_are_told():
    configs = [{"a": 1, "b": {"c": [1, 2], "d": None}}, {"a": 1, "b": {"c": [1], "e": True}}]
    assert differing_keys(configs) == [
        ("b.c", ["[1, 2]", "[1]"]),
        ("b.d", ["null", "–"]),
        ("b.e", ["–", "true"]),
    ]
    assert differing_keys([]) == [] == differing_keys([{}, {}])


NINE_LEVELS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in pairwise("abcdefghi")
)


@pytest.mark.parametrize("content", ["a: &a\n  b: *a\n", NINE_LEVELS])
def test_a_config_that_holds_itself_or_a_milliard_values_is_left_out(tmp_path, content):
    (tmp_path / "config.yaml").write_text(content)
    run = load_run(tmp_path)
    assert "config.yaml is damaged and was left out." in run.missing
    assert differing_keys([run.config, {}]) == []


def test_the_best_validation_is_the_least_of_the_first_rate_there_is():
    curves = {"validation/loss": {1: 0.1}, "validation/per": {1: 0.5, 2: 0.25, 3: math.nan}}
    assert Run(None, curves=curves).best() == ("per", 0.25, 2)
    assert Run(None, curves={"train/loss": {1: 0.1}}).best() is None


def test_a_budget_takes_what_fits():
    budget = Budget(10)
    assert [budget.take("x" * n) for n in (6, 5, 4, 1)] == [True, False, True, False]


def test_durations_for_people():
    told = [duration(s) for s in (None, math.nan, 0.5, 60, 5400)]
    assert told == ["unknown", "unknown", "0.5 s", "1.0 min", "1.5 h"]
