"""The numbers: from a curve to suggestions, a consensus, a verdict and a plan. Imports numpy and scipy only."""
