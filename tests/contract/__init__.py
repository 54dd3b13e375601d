"""What every store and every backend owes."""
