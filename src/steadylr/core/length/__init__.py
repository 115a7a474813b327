"""How the best LR moves with the length of the training: trials of several lengths in, the LR for another one out."""
