"""The tools around the product: stack, deploy, load."""
