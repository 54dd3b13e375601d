"""What this design is compared with: five ways to keep a limit that AWS's guides recommend.

Each stands behind the API's own routes, with a table, a key layout and a client of its own. Nothing of the core is in
them but the types and errors that the routes speak. They do what is compared, creates and deletes, and nothing else.
"""
