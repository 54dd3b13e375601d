"""The store on DynamoDB."""

from counters.stores.dynamodb.client import DynamoClient, open_client
from counters.stores.dynamodb.store import DynamoStore, open_store

__all__ = ["DynamoClient", "DynamoStore", "open_client", "open_store"]
