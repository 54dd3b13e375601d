"""What measured units cost, at the prices that the model assumes."""

from typing import Final, NamedTuple

from load.compare.results import Summary
from load.model.assumptions import READ_DOLLARS, WRITE_DOLLARS

MILLION: Final = 1_000_000


class Bill(NamedTuple):
    """What DynamoDB bills for a million creates, in US dollars.

    Attributes:
        api_writes: Write units of the API.
        lambda_writes: Write units of the Lambda.
        api_reads: Read units of the API.
    """

    api_writes: float
    lambda_writes: float
    api_reads: float

    @property
    def total(self) -> float:
        """All of it."""
        return sum(self)


def bill_of(row: Summary) -> Bill:
    """Return what a million of a strategy's creates cost; each of the Lambda's writes is one unit."""
    return Bill(
        api_writes=row.write_units_per_create * WRITE_DOLLARS * MILLION,
        lambda_writes=row.lambda_writes_per_create * WRITE_DOLLARS * MILLION,
        api_reads=row.read_units_per_create * READ_DOLLARS * MILLION,
    )
