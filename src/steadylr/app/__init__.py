"""The application: Hydra's config, the entry points, and what joins run, store and present."""
