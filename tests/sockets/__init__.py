"""A fuzzer that speaks to the real server over raw sockets; its oracle knows which requests were sent."""
