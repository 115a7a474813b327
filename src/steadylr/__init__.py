"""Learning-rate range tests over several seeds, and how far their answer can be trusted."""

__version__ = "0.1.0"
