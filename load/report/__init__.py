"""One page with all that was measured and modelled, and its plots as images: ``./taskw load:report``."""
