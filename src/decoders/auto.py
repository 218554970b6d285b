"""The decoder that fits the checkpoint."""

from src.decoders.greedy import Greedy


class Auto(Greedy):
    """Greedy, wherever nothing better is known.

    Inference puts `FusedBeam` in its place where a language model lies beside the checkpoint
    (`src.build.tuned`); training, which has none, decodes greedily.
    """
