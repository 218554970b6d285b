"""Mutated inputs of every kind: a clear refusal or a correct result, and nothing else."""
