"""Routes that set counters right."""

from http import HTTPStatus

from litestar import Controller, post

from api.documentation import problem_responses
from api.requests import JsonRequest
from api.schemas.fields import AccountIdInPath, CounterNameInPath
from api.schemas.problems import ProblemKind
from api.schemas.reconciliations import DryRun, Force, Reconciliation
from counters.keys import CounterKey


class CountersController(Controller):
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

        `eventual` is set too when the counter was untouched for long enough that the stream is surely through, or with
        `force`. Records of the stream that the recount has seen are not counted again.

        A damaged counter, one that somebody stored by hand so that it cannot be read, is repaired: both counts are set
        to the recount, a limit that was lost becomes 0 and keeps creates out until it is set again.
        """
        key = CounterKey(account_id, counter_name)
        healer = request.backend.healer
        diagnosis = await (healer.diagnose(key) if dry_run else healer.reconcile(key, reset_eventual=force))
        return Reconciliation.of(diagnosis, dry_run=dry_run)
