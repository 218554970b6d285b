"""Read speech with a trained checkpoint: python inference.py -cn=inference (--help teaches)."""

import itertools
import os
import shlex
import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from src.cli import hydra_entry
from src.utils.errors import UserError
from src.utils.tables import counted

N_NAMED = 20  # unreadable recordings are named up to here, then counted


@hydra_entry("inference")
def main(config: DictConfig) -> int:
    """Checkpoint + speech → predictions, pictures and the closing table of rates.

    A recording that can't be read costs no other its prediction: it is named at the end, and
    the exit status is 1.
    """
    # Imported late: --help and a misspelt key need not wait for PyTorch.
    from src.build import build_inference, plain
    from src.pipeline import note_reader
    from src.predictions import closing_table, readings
    from src.trainer import find_checkpoint

    resolved = plain(config)
    job = build_inference(resolved, HydraConfig.get().runtime.choices["dataset"])
    folder = Path(str(resolved["output"])) / job.name
    predictions = job.transcriber.transcribe_all(
        job.loader, folder, job.n_decoders, job.decode_batch
    )
    if predictions:
        note_reader(folder, find_checkpoint(job.checkpoint))
        n_scored = sum(prediction.target is not None for prediction in predictions)
        print(headline(job, len(predictions), n_scored))
        if not n_scored:
            print(readings(predictions))
        print(closing_table(predictions))
        read = {prediction.id for prediction in predictions}
        rows = (row for row, name in enumerate(job.dataset.ids) if name in read)
        shown = [job.dataset[row] for row in itertools.islice(rows, resolved["n_pictures"])]
        draw(job.transcriber, shown, folder / "pictures")
        pictures = f"   Pictures: {folder / 'pictures'}" if shown else ""
        print(f"\nPredictions: {folder}{os.sep}*.json{pictures}")
        if n_scored:
            score = f"python calc_wer_cer.py --dir_path {shlex.quote(str(folder))} --worst 10"
            print(f"The worst ones: {score}")
        sys.stdout.flush()
    tell_unreadable(job.unreadable, len(predictions))
    return 0


def headline(job, n_read: int, n_scored: int) -> str:
    """What was read by which models, and of how many utterances the rates are, if not of all."""
    files = [job.decoder.get(key) for key in ("language_model", "rescorer")]
    models = " and ".join(Path(file).name for file in files if file)
    with_model = f" with {models}" if models else ""
    read = f"\n{job.name}: {counted(n_read, 'utterance')}, read by {job.checkpoint}{with_model}"
    if n_scored in (0, n_read):
        return read
    left_out = f"{n_read - n_scored:,} left out: no text to compare with"
    return f"{read}\n{counted(n_scored, 'utterance')} scored, {left_out}"


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


def tell_unreadable(unreadable: dict[str, str], n_read: int) -> None:
    """Name the recordings that could not be read, each with its reason.

    Raises:
        UserError: there are any.
    """
    if not unreadable:
        return
    if n_read + len(unreadable) == 1:
        raise UserError(*unreadable.values())
    for name, reason in itertools.islice(unreadable.items(), N_NAMED):
        print(f"left out: {name}: {reason}", file=sys.stderr)
    if len(unreadable) > N_NAMED:
        print(f"left out: {len(unreadable) - N_NAMED:,} more", file=sys.stderr)
    others = f"the other {n_read:,} were read" if n_read else "so there are no predictions"
    raise UserError(
        f"{len(unreadable):,} of {n_read + len(unreadable):,} recordings could not be read, as "
        f"named above; {others}. Mend or remove them and run the command again."
    )


if __name__ == "__main__":
    main()
