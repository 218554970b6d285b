import json

from src.metrics import ErrorCounts, TextPair, plain, summarise_all, table, worst

MEASURES = [
    {"PER": ErrorCounts(hits=3), "word error": ErrorCounts(hits=1)},
    {"PER": ErrorCounts(substitutions=1), "word error": ErrorCounts(substitutions=1)},
    {"PER": ErrorCounts(deletions=1, insertions=1, hits=1)},
]


def test_each_measure_is_summarised_over_the_utterances_that_have_it():
    scores = summarise_all(MEASURES)
    assert {name: score.n_utterances for name, score in scores.items()} == {
        "PER": 3,
        "word error": 2,
    }
    assert scores["PER"].rate == 3 / 6
    assert scores["word error"].rate == 1 / 2


def test_the_table_gives_percent_intervals_and_counts():
    scores = {"WER": summarise_all([{"WER": ErrorCounts(1, 2, 3, 1997)}])["WER"]}
    row = next(line for line in table(scores).splitlines() if line.startswith("WER"))
    assert " ".join(row.split()) == "WER 0.30 % [0.30, 0.30] 1 2 3 2,000 words"
    assert "comparison with older reports, is WER 0.30 %." in table(scores)


def test_programs_get_fractions_that_survive_json():
    values = json.loads(json.dumps(plain(summarise_all(MEASURES))))
    assert list(values) == ["per", "word_error"]
    assert values["word_error"] | {"low": None, "high": None} == {
        "rate": 0.5,
        "low": None,
        "high": None,
        "substitutions": 1,
        "deletions": 0,
        "insertions": 0,
        "reference_length": 2,
        "n_utterances": 2,
        "mean_utterance_rate": 0.5,
    }


def test_the_worst_come_first_and_among_equals_the_longer_ones():
    counts = [
        ErrorCounts(hits=4),
        ErrorCounts(substitutions=1, hits=1),
        ErrorCounts(substitutions=2, hits=2),
        ErrorCounts(insertions=2, hits=1),
    ]
    pairs = [TextPair(str(i), "", "") for i in range(4)]
    measures = [{"WER": c, "CER": ErrorCounts()} for c in counts]
    assert [pair.file for pair, _ in worst(pairs, measures, 3)] == ["3", "2", "1"]
    assert worst(pairs, measures, 0) == []
    assert len(worst(pairs, measures, 99)) == 4
