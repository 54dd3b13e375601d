"""The images and compose: what their files say, and, with a Docker engine, what they do (./taskw image:test)."""
