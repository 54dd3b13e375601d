"""The routes, one controller module for each resource."""
