"""The server: sockets, framing, connections, the process, and its health check."""
