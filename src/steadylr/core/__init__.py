"""The numbers: from a curve to suggestions, a consensus, a verdict and a plan. Imports numpy and scipy only.

Plan.scheduler alone makes something of torch, for whoever calls it with an optimizer of torch.
"""
