"""Deploying: the image, Terraform, the rollout, and a look at what runs."""
