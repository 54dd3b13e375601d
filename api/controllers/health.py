"""Routes for load balancers and orchestrators."""

from http import HTTPStatus

from litestar import Controller, get

from api.http.documentation import problem_response
from api.http.problems import NotReadyError
from api.http.requests import JsonRequest
from api.schemas.health import Alive, Ready
from api.schemas.problems import ProblemKind


class HealthController(Controller):
    """Whether the process is alive and can serve."""

    path = "/"
    tags = ("health",)

    @get("/health", summary="Alive?", responses={HTTPStatus.BAD_REQUEST: problem_response(ProblemKind.INVALID_INPUT)})
    async def read_health(self) -> Alive:
        """Tell that the process runs; asks nobody else, so that a restart is not the answer to a database's trouble."""
        return Alive()

    @get(
        "/ready",
        summary="Can serve?",
        responses={
            HTTPStatus.BAD_REQUEST: problem_response(ProblemKind.INVALID_INPUT),
            HTTPStatus.SERVICE_UNAVAILABLE: problem_response(ProblemKind.NOT_READY),
        },
    )
    async def read_readiness(self, request: JsonRequest) -> Ready:
        """Tell whether the table can be reached; the answer is cached for a moment."""
        if not await request.backend.ready():
            raise NotReadyError
        return Ready()
