"""Records in, one answer out: what many runs say together."""
