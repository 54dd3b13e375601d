"""Terraform, run for real: as it is written, and applied to an emulator."""
