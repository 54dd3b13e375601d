"""Load as people make it, by Locust."""
