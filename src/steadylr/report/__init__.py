"""An answer as text, files and figures."""
