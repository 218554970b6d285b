"""The console says one tidy line a call."""

import numpy as np

from src.logger import Console


def test_scalars_are_one_line_and_rates_are_percent(capsys):
    Console().scalars(
        1200,
        {
            "train/loss": 1.23456,
            "validation/wer": 0.123,
            "validation/per_greedy": 0.05,
            "train/audio_s_per_s": 312.6,
            "train/data_wait": 0.02,
            "train/learning_rate": 3e-4,
            "train/n_impossible": 2,
            "train/grad_norm": float("nan"),
        },
    )
    assert capsys.readouterr().out == (
        "step 1,200  train/loss 1.235  validation/wer 12.3 %  validation/per_greedy 5.0 %  "
        "train/audio_s_per_s 312.6  train/data_wait 2.0 %  train/learning_rate 0.0003  "
        "train/n_impossible 2  train/grad_norm nan\n"
    )


def test_a_table_shows_its_first_rows_aligned_and_clipped(capsys):
    rows = [["a", "x" * 100, 0.5], ["bb", "y", 0.25], ["c", "z", 0.0]]
    Console(table_rows=2, cell_width=10).table(7, "examples", ["id", "text", "wer"], rows)
    assert capsys.readouterr().out.splitlines() == [
        "step 7  examples, 2 of 3 rows",
        "id  text           wer",
        "──  ──────────  ──────",
        "a   xxxxxxxxx…  50.0 %",
        "bb  y           25.0 %",
    ]


def test_a_table_without_rows_says_so(capsys):
    Console().table(7, "examples", ["id"], [])
    assert capsys.readouterr().out.startswith("step 7  examples, no rows")


def test_text_is_shown_pictures_and_sounds_are_not(capsys):
    console = Console()
    console.text(3, "note", "early stop")
    console.image(3, "i", np.zeros((2, 2, 3), np.uint8))
    console.audio(3, "a", np.zeros(5, np.float32), 16000)
    console.close()
    assert capsys.readouterr().out == "step 3  note  early stop\n"
