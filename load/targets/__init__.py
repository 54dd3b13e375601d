"""The targets that the service's speed, cost and size are held to, measured on this machine."""
