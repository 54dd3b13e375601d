"""What a person may have written into an item by hand."""

from tests.support.hands import Damage, RawValue

NO_NUMBERS: list[RawValue | None] = [{"N": "2.5"}, {"S": "2"}, {"N": "9" * 38}, {"NULL": True}, {"L": []}, None]
COUNTER_DAMAGE: list[Damage] = [
    *(Damage("best_effort", value) for value in NO_NUMBERS),
    Damage("eventual", {"S": "1"}),
    Damage("limit", None),
    Damage("limit", {"NULL": True}),
    Damage("limit", {"S": "10"}),
    Damage("limit", {"N": "-3"}),
    Damage("enforcement", None),
    Damage("enforcement", {"S": "lenient"}),
    Damage("slots", None),
    Damage("slots", {"N": "0"}),
    Damage("slots", {"N": "1000"}),
    Damage("epoch", {"S": "1"}),
    Damage("revision", {"S": "1"}),
    Damage("touched_at", {"S": "1"}),
    Damage("touched_at", {"N": "9" * 17}),
    Damage("terms_version", {"S": "1"}),
    Damage("settled_at", {"S": "1"}),
    Damage("marks", None),
    Damage("marks", {"L": []}),
    Damage("marks", {"M": {"shard": {"S": "x"}}}),
    Damage("marks", {"M": {"shard": {"M": {}}}}),
    Damage("marks", {"M": {"shard": {"M": {"s": {"S": "7"}, "t": {"N": "1"}}}}}),
]
ENTRY_DAMAGE: list[Damage] = [
    Damage("amount", {"S": "x"}),
    Damage("amount", {"N": "0"}),
    Damage("amount", {"N": "-1"}),
    Damage("amount", {"N": "1.5"}),
    Damage("amount", {"N": str(10**9 + 1)}),
    Damage("amount", None),
    Damage("name", {"N": "1"}),
    Damage("name", None),
    Damage("created_at", {"S": "now"}),
    Damage("created_at", {"N": "9" * 30}),
    Damage("created_at", None),
]
ACCOUNT_DAMAGE: list[Damage] = [
    Damage("username", {"N": "1"}),
    Damage("username", None),
    Damage("created_at", {"S": "now"}),
    Damage("created_at", None),
]
