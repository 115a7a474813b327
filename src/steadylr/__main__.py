"""`python -m steadylr`: the main program."""

from steadylr.cli.start import find_lr

if __name__ == "__main__":
    find_lr()
