"""Load and comparison: what this design buys over the plain ways, measured side by side in one run."""
