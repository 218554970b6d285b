"""Read speech with a trained checkpoint: python inference.py -cn=inference (--help teaches)."""

import os
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from src.cli import hydra_entry


@hydra_entry("inference")
def main(config: DictConfig) -> int:
    """Checkpoint + speech → predictions, pictures and the closing table of rates."""
    # Imported late: --help and a misspelt key need not wait for PyTorch.
    from src.build import build_inference, plain
    from src.predictions import closing_table

    resolved = plain(config)
    corpus = HydraConfig.get().runtime.choices["dataset"]
    transcriber, dataset, loader, name = build_inference(resolved, corpus)
    folder = Path(resolved["output"]) / name
    predictions = transcriber.transcribe_all(loader, folder)
    first = [dataset[i] for i in range(min(resolved["n_pictures"], len(dataset)))]
    draw(transcriber, first, folder / "pictures")
    print(f"\n{name}: {len(predictions):,} utterances, read by {resolved['checkpoint']}")
    print(closing_table(predictions))
    print(f"\nPredictions: {folder}{os.sep}*.json   Pictures: {folder / 'pictures'}")
    print(f"The worst ones: python calc_wer_cer.py --dir_path {folder} --worst 10")
    return 0


def draw(transcriber, utterances: list, folder: Path) -> None:
    """Spectrograms and posteriors of utterances under their decoded tokens, as PNG."""
    from src.datasets import collate
    from src.logger import save_png
    from src.trainer import draw_prediction

    for utterance in utterances:
        batch = collate([utterance])
        emissions = transcriber.emissions(batch)
        prediction = transcriber.predict(emissions, batch)[0]
        picture = draw_prediction(prediction, batch, emissions, transcriber.recognizer)
        save_png(picture, folder / f"{utterance.id}.png")


if __name__ == "__main__":
    main()
