"""From a dataset to batches: their order, the worker processes, and the cache of read audio."""
