"""The whole system while its calls fail and its processes die."""
