"""The API explorer: Swagger UI from files that ship with the service."""
