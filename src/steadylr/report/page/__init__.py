"""An answer as one page for a browser: its data, then the HTML around them."""
