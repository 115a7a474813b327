"""YAML in, a checked Config out."""
