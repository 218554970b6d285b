"""The table of what models cost."""

import re

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


def test_layers_are_listed_with_their_shapes_and_weights(capsys):
    main(["convnet", "deepspeech2", "--layers", "--seconds", "1", "--utterances", "2"])
    convnet, deepspeech2 = capsys.readouterr().out.strip().split("\n\n")
    rows = [re.split(r" {2,}", line) for line in convnet.splitlines()[3:]]
    assert rows[0] == ["convs.0.conv", "Conv2d", "(2, 64, 50, 33)", "1,600"]
    assert rows[-1] == ["", "emissions", "(2, 25, 29)", "14,298,077"]
    weights = [int(row[-1].replace(",", "")) for row in rows]
    assert sum(weights[:-1]) == weights[-1]  # none is left out, or there twice
    grus = [line for line in deepspeech2.splitlines() if " GRU " in line]
    assert len(grus) == 5 and all("(2, 50, 1024)" in line for line in grus)
