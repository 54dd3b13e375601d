"""What HTTP asks of every route: bodies, problems, documentation, HEAD and OPTIONS."""
