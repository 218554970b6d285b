"""The learning curve from folders of predictions."""

import json

import numpy as np
import pytest
from matplotlib import image

from scripts.learning_curve import main


@pytest.fixture
def folders(tmp_path):
    """Predictions of 40 utterances of 10 words, 0.4 · hours^−0.5 of them wrong."""
    points = []
    for hours in (1, 4, 16):
        folder = tmp_path / f"h{hours}"
        folder.mkdir()
        wrong = round(10 * 0.4 * hours**-0.5)
        for i in range(40):
            said = [f"w{k}" for k in range(10)]
            heard = ["x"] * wrong + said[wrong:]
            prediction = {"text": " ".join(said), "pred_text": " ".join(heard)}
            (folder / f"u{i}.json").write_text(json.dumps(prediction))
        points.append(f"{hours}={folder}")
    return points


def test_the_curve_goes_on_where_nothing_was_trained(folders, tmp_path, capsys):
    picture, out = tmp_path / "curve.png", tmp_path / "curve.json"
    drawn = ["--picture", str(picture), "--out", str(out), "--n_resamples", "200"]
    main([*folders, "--to", "64", "--beside", "64=3.5=others", *drawn])
    printed = capsys.readouterr().out
    assert "WER = 40.0 % · hours^−0.500: twice the speech divides it by 1.41" in printed
    assert "5.0 % [5.0, 5.0]" in printed and "others" in printed
    found = json.loads(out.read_text())
    assert [one["rate"] for one in found["trained"]] == pytest.approx([0.4, 0.2, 0.1])
    assert found["foretold"][0]["rate"] == pytest.approx(0.05)
    assert np.ptp(image.imread(picture)) > 0


def test_rates_near_all_wrong_are_told_to_lie_on_no_law(folders, tmp_path, capsys):
    folder = tmp_path / "little"
    folder.mkdir()
    for file in (tmp_path / "h1").iterdir():
        found = json.loads(file.read_text()) | {"pred_text": "x " * 10}
        (folder / file.name).write_text(json.dumps(found))
    main([*folders, f"0.1={folder}", "--n_resamples", "20"])
    assert "A rate above 90.0 % lies on no power law" in capsys.readouterr().out


def test_two_sizes_make_no_curve(folders):
    with pytest.raises(SystemExit, match="learning_curve: no curve can be drawn: 2 trainings"):
        main(folders[:2])


@pytest.mark.parametrize(
    ("word", "expected"),
    [("x", "expected HOURS=DIR"), ("1", "expected HOURS=DIR"), ("0=a", "a number above 0"),
     ("nan=a", "a number above 0")],
)  # fmt: skip
def test_what_is_no_hours_and_folder_is_refused(word, expected, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([word])
    assert stopped.value.code == 2
    assert expected in capsys.readouterr().err
