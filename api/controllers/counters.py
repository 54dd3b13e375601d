"""Routes of counters: read them, and set them right."""

from http import HTTPStatus

from litestar import Controller, get, post

from api.http.documentation import problem_responses
from api.http.requests import JsonRequest
from api.schemas.counters import CountPage
from api.schemas.fields import AccountIdInPath, CounterNameInPath
from api.schemas.pages import Cursor, PageLimit
from api.schemas.problems import ProblemKind
from api.schemas.reconciliations import DryRun, Force, Reconciliation
from counters.keys import CounterKey
from counters.values.pages import PAGE_LIMIT_DEFAULT


class CountersController(Controller):
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


class AccountCountersController(Controller):
    """Counters of one account: reconcile."""

    path = "/accounts/{account_id:str}/counters"
    tags = ("counters",)

    @post(
        "/{name:str}/reconcile",
        summary="Recount a counter and set it right",
        status_code=HTTPStatus.OK,
        response_description="What the recount found.",
        responses=problem_responses(
            ProblemKind.ACCOUNT_NOT_FOUND,
            ProblemKind.COUNTER_NOT_FOUND,
            ProblemKind.COUNTER_BUSY,
            ProblemKind.COUNTER_DAMAGED,
        ),
    )
    async def reconcile_counter(
        self,
        account_id: AccountIdInPath,
        counter_name: CounterNameInPath,
        request: JsonRequest,
        *,
        dry_run: DryRun = False,
        force: Force = False,
    ) -> Reconciliation:
        """Recount what the counter counts and set `best_effort` to it, unless the counter was used a moment ago.

        `eventual` is recounted too, with `force`, or when the two counts differ although the stream is surely through.
        That goes through the stream itself, so it is right a moment after the answer. A counter in use takes two
        requests: the first one answers 409, and one after its `Retry-After` goes on.

        A damaged counter, one that somebody stored by hand so that it cannot be read, is repaired: both counts are set
        to the recount, a limit that was lost becomes 0 and keeps creates out until it is set again.
        """
        key = CounterKey(account_id, counter_name)
        healer = request.backend.healer
        diagnosis = await (healer.diagnose(key) if dry_run else healer.reconcile(key, recount_eventual=force))
        return Reconciliation.of(diagnosis, dry_run=dry_run)
