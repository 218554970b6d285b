"""The table of what models cost."""

import pytest

from scripts.compare_models import choices, main


def test_each_model_stands_with_its_weights_and_its_cost_beside_the_reference(capsys):
    main(["convnet_small", "--seconds", "1", "--utterances", "1", "--runs", "1"])
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.split() for line in lines[2:]}
    assert rows.keys() == {"deepspeech2", "convnet_small"}
    assert rows["deepspeech2"][1:5] == ["23.7", "M", "128", "2"]
    assert rows["deepspeech2"][-1] == "1.00"
    assert 0 < float(rows["convnet_small"][-1]) < 0.5
    assert len(choices()) >= 16


def test_a_model_that_is_not_there_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["convnett"])
    assert "invalid choice: 'convnett'" in capsys.readouterr().err
