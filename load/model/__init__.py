"""A model of cost and contention on DynamoDB: the real engine over published limits, in virtual time."""
