"""The routes, the server and the process of the API."""
