"""What this design is compared with: five ways to keep a limit that AWS's guides recommend.

Each stands behind the API's own routes, with a table of its own under the engine's keys. Nothing else of the core is in
them but the client, and the types and errors that the routes speak. They create and delete, and do nothing else.
"""
