"""Routes of accounts."""

from http import HTTPStatus

from litestar import Controller, Response, delete, get, post, route
from litestar.enums import HttpMethod
from litestar.params import JSONBody

from api.http.documentation import DELETED, DELETED_IN_PART, LOCATION, problem_responses
from api.http.faults import has_read_only, refuse_changes
from api.http.requests import JsonRequest
from api.http.responses import CreatedResponse, answer_deletion
from api.schemas.accounts import AccountCreate, AccountPage, AccountResponse, AccountUpdate
from api.schemas.deletions import DeletionPart
from api.schemas.fields import AccountIdInPath, given
from api.schemas.pages import Cursor, PageLimit
from api.schemas.problems import ProblemKind
from counters.model import Enforcement
from counters.values.pages import PAGE_LIMIT_DEFAULT


class AccountsController(Controller):
    """Accounts: make, read, change, delete, list."""

    path = "/accounts"
    tags = ("accounts",)

    @post(
        summary="Make an account",
        response_headers=[LOCATION],
        response_description="The account was made.",
        responses=problem_responses(takes_body=True),
    )
    async def create_account(
        self, data: JSONBody[AccountCreate], request: JsonRequest
    ) -> CreatedResponse[AccountResponse]:
        """Make an account under an id of ours. Its limit holds from the first service on."""
        view = await request.backend.accounts.create(
            data.username, data.max_number_of_services, Enforcement(data.enforcement)
        )
        return CreatedResponse(AccountResponse.of(view), f"/accounts/{view.account.id}")

    @get(summary="List accounts", responses=problem_responses())
    async def list_accounts(
        self, request: JsonRequest, limit: PageLimit = PAGE_LIMIT_DEFAULT, cursor: Cursor = None
    ) -> AccountPage:
        """List all accounts, oldest first."""
        return AccountPage.of(await request.backend.accounts.page(limit, cursor))

    @get("/{account_id:str}", summary="Read an account", responses=problem_responses(ProblemKind.ACCOUNT_NOT_FOUND))
    async def read_account(self, account_id: AccountIdInPath, request: JsonRequest) -> AccountResponse:
        """Read an account with the number of services it has right now."""
        return AccountResponse.of(await request.backend.accounts.get(account_id))

    @route(
        "/{account_id:str}",
        http_method=[HttpMethod.PUT, HttpMethod.PATCH],
        status_code=HTTPStatus.OK,
        summary="Change an account",
        responses=problem_responses(
            ProblemKind.ACCOUNT_NOT_FOUND, ProblemKind.CHANGE_CONFLICT, ProblemKind.COUNTER_DAMAGED, takes_body=True
        ),
    )
    async def update_account(
        self, account_id: AccountIdInPath, data: JSONBody[AccountUpdate], request: JsonRequest
    ) -> AccountResponse:
        """Change what is given, by PUT and by PATCH alike.

        A limit below what is in use removes nothing: creates are refused until deletes have made room. The answer to a
        GET can be sent back: fields that cannot be changed must be as they are, or are left out.
        """
        if has_read_only(data):
            refuse_changes(data, AccountResponse.of(await request.backend.accounts.get(account_id)))
        view = await request.backend.accounts.update(
            account_id,
            username=given(data.username),
            limit=given(data.max_number_of_services),
            enforcement=given(data.enforcement),
        )
        return AccountResponse.of(view)

    @delete(
        "/{account_id:str}",
        summary="Delete an account",
        status_code=HTTPStatus.OK,
        response_description=DELETED_IN_PART,
        responses={
            HTTPStatus.NO_CONTENT: DELETED,
            **problem_responses(ProblemKind.ACCOUNT_NOT_FOUND, ProblemKind.COUNTER_DAMAGED),
        },
    )
    async def delete_account(self, account_id: AccountIdInPath, request: JsonRequest) -> Response[DeletionPart]:
        """Delete an account with its counters and services.

        From the first request on, nobody but a deleter finds the account: all else about it is answered 404.

        Answers 204 when all is deleted. An account with thousands of services takes several requests: each answers 200
        with the number of services that it deleted. Repeat it then, and after a 503: it goes on where it stopped.
        """
        return answer_deletion(await request.backend.accounts.delete(account_id))
