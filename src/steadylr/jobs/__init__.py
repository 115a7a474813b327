"""The jobs of one command: their places, the launcher and its workers, the sweeper."""
