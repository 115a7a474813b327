"""A Config in, curves out: what identifies a training, its set-up, its devices, its failure."""
