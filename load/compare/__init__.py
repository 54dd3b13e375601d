"""The same work against each strategy of keeping a limit, on one endpoint, in one table: ``./taskw load:compare``."""
