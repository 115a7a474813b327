"""The training: data, models, random streams and the range test. The modules that need torch import it."""
