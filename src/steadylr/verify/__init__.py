"""Short trainings that answer a question about an LR."""
