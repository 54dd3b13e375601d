"""Routes of services."""

from http import HTTPStatus
from typing import Final

from litestar import Controller, Response, delete, get, post, route
from litestar.enums import HttpMethod
from litestar.openapi import ResponseSpec
from litestar.params import JSONBody

from api.http.documentation import DELETED, DELETED_IN_PART, LOCATION, problem_responses
from api.http.faults import has_read_only, refuse_changes
from api.http.requests import JsonRequest
from api.http.responses import CreatedResponse, answer_deletion
from api.schemas.deletions import DeletionPart
from api.schemas.fields import AccountIdInPath, AccountIdInQuery, ServiceIdInPath, given
from api.schemas.pages import Cursor, PageLimit
from api.schemas.problems import ProblemKind
from api.schemas.services import ServiceCreate, ServicePage, ServiceResponse, ServiceUpdate
from counters.keys import SERVICES, CounterKey
from counters.model import Created
from counters.values.pages import PAGE_LIMIT_DEFAULT

_REPLAYED: Final = ResponseSpec(
    ServiceResponse, generate_examples=False, description="A service with this `id` was there already; it is unchanged."
)
_NO_COUNTER: Final = (ProblemKind.ACCOUNT_NOT_FOUND, ProblemKind.COUNTER_DAMAGED)
_CREATE_RESPONSES: Final = {
    HTTPStatus.OK: _REPLAYED,
    **problem_responses(*_NO_COUNTER, ProblemKind.LIMIT_REACHED, takes_body=True),
}
_NOT_FOUND: Final = (*_NO_COUNTER, ProblemKind.SERVICE_NOT_FOUND)


class ServicesController(Controller):
    """Services: make, read, change, delete, list."""

    path = "/services"
    tags = ("services",)

    @post(
        summary="Make a service",
        response_description="The service was made.",
        response_headers=[LOCATION],
        responses=_CREATE_RESPONSES,
    )
    async def create_service(
        self, data: JSONBody[ServiceCreate], request: JsonRequest
    ) -> CreatedResponse[ServiceResponse]:
        """Make a service, unless the account's limit is reached.

        With an `id` of the caller's own it can be repeated safely: the service is made once, and counted once.
        """
        created = await request.backend.entries.create(CounterKey(data.account_id, SERVICES), data.name, given(data.id))
        return _answer(data.account_id, created)

    @get(summary="List services", responses=problem_responses(*_NO_COUNTER))
    async def list_services(
        self,
        account_id: AccountIdInQuery,
        request: JsonRequest,
        limit: PageLimit = PAGE_LIMIT_DEFAULT,
        cursor: Cursor = None,
    ) -> ServicePage:
        """List an account's services."""
        return ServicePage.of(
            account_id, await request.backend.entries.page(CounterKey(account_id, SERVICES), limit, cursor)
        )

    @get("/{id:str}", summary="Read a service", responses=problem_responses(*_NOT_FOUND))
    async def read_service(
        self, service_id: ServiceIdInPath, account_id: AccountIdInQuery, request: JsonRequest
    ) -> ServiceResponse:
        """Read a service."""
        return ServiceResponse.of(
            account_id, await request.backend.entries.get(CounterKey(account_id, SERVICES), service_id)
        )

    @route(
        "/{id:str}",
        http_method=[HttpMethod.PUT, HttpMethod.PATCH],
        status_code=HTTPStatus.OK,
        summary="Change a service",
        responses=problem_responses(*_NOT_FOUND, ProblemKind.CHANGE_CONFLICT, takes_body=True),
    )
    async def update_service(
        self,
        service_id: ServiceIdInPath,
        account_id: AccountIdInQuery,
        data: JSONBody[ServiceUpdate],
        request: JsonRequest,
    ) -> ServiceResponse:
        """Rename a service, by PUT and by PATCH alike.

        The answer to a GET can be sent back: fields that cannot be changed must be as they are, or are left out.
        """
        key = CounterKey(account_id, SERVICES)
        if has_read_only(data):
            refuse_changes(data, ServiceResponse.of(account_id, await request.backend.entries.get(key, service_id)))
        return ServiceResponse.of(account_id, await request.backend.entries.rename(key, service_id, data.name))

    @delete("/{id:str}", summary="Delete a service", responses=problem_responses(*_NOT_FOUND))
    async def delete_service(
        self, service_id: ServiceIdInPath, account_id: AccountIdInQuery, request: JsonRequest
    ) -> None:
        """Delete a service. A create that starts after the answer finds the room that it left."""
        await request.backend.entries.delete(CounterKey(account_id, SERVICES), service_id)


class AccountServicesController(Controller):
    """All services of one account."""

    path = "/accounts/{account_id:str}/services"
    tags = ("services",)

    @get(summary="List an account's services", responses=problem_responses(*_NO_COUNTER))
    async def list_services_of_account(
        self,
        account_id: AccountIdInPath,
        request: JsonRequest,
        limit: PageLimit = PAGE_LIMIT_DEFAULT,
        cursor: Cursor = None,
    ) -> ServicePage:
        """List an account's services; the same list as `/services?account_id=`."""
        return ServicePage.of(
            account_id, await request.backend.entries.page(CounterKey(account_id, SERVICES), limit, cursor)
        )

    @delete(
        summary="Delete all services of an account",
        status_code=HTTPStatus.OK,
        response_description=DELETED_IN_PART,
        responses={HTTPStatus.NO_CONTENT: DELETED, **problem_responses(*_NO_COUNTER)},
    )
    async def delete_services_of_account(
        self, account_id: AccountIdInPath, request: JsonRequest
    ) -> Response[DeletionPart]:
        """Delete all services of an account.

        Answers 204 when all are deleted. Thousands of services take several requests: each answers 200 with the number
        that it deleted. Repeat it then, and after a 503: it goes on where it stopped.
        """
        return answer_deletion(await request.backend.entries.delete_all(CounterKey(account_id, SERVICES)))


def _answer(account_id: str, created: Created) -> CreatedResponse[ServiceResponse]:
    service = ServiceResponse.of(account_id, created.entry)
    return CreatedResponse(service, f"/services/{service.id}?account_id={account_id}", replayed=created.replayed)
