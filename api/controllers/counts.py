"""Routes of counters."""

from litestar import Controller, get

from api.documentation import problem_responses
from api.requests import JsonRequest
from api.schemas.counts import CountPage
from api.schemas.fields import AccountIdInPath
from api.schemas.pages import Cursor, PageLimit
from api.schemas.problems import ProblemKind
from counters.pages import PAGE_LIMIT_DEFAULT


class CountsController(Controller):
    """Counters: read."""

    path = "/counts"
    tags = ("counts",)

    @get(summary="List all counters", responses=problem_responses())
    async def list_counts(
        self, request: JsonRequest, limit: PageLimit = PAGE_LIMIT_DEFAULT, cursor: Cursor = None
    ) -> CountPage:
        """List the counters of all accounts, oldest account first."""
        return CountPage.of(await request.backend.accounts.page_of_counters(limit, cursor))

    @get(
        "/{account_id:str}",
        summary="Read an account's counters",
        responses=problem_responses(ProblemKind.ACCOUNT_NOT_FOUND),
    )
    async def read_counts(self, account_id: AccountIdInPath, request: JsonRequest) -> CountPage:
        """Read all counters of an account."""
        return CountPage.of(await request.backend.accounts.counters(account_id))
