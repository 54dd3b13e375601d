"""The store on DynamoDB."""

from counters.dynamodb.store import DynamoStore, open_store

__all__ = ["DynamoStore", "open_store"]
