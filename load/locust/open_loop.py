"""How Locust runs an open loop: each of its users is a connection that takes the next arrival of one shared schedule.

A closed loop sends the next request when it has the last one's answer. While the server stalls, such a client stalls
along with it, and the requests that it should have sent meanwhile are missing from the figures (Tene: "coordinated
omission"). Locust's own ``constant_throughput`` is such a loop. Here ``--rate`` alone says when a request is due, and
``--users`` is the number of connections. All of Locust's reports show the latency from when a request was due.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from itertools import accumulate
from random import Random
from typing import ClassVar, Final, NamedTuple

import gevent
from gevent.event import Event
from locust import FastHttpUser, events, task
from locust.contrib.fasthttp import ResponseContextManager
from locust.env import Environment
from locust.exception import StopTest, StopUser
from locust.runners import LocalRunner

from load.locust.options import LoadOptions, OptionError, add_options, read_options
from stack.harness.accounts import UNLIMITED, AccountsClient, AccountsError

CREATE: Final = "create"
REFUSED: Final = "create at the limit"
DELETE: Final = "delete"

_PATIENCE_S: Final = 10.0
"""How long an arrival waits for a free connection before it counts as failed. Without it, a server that recovers would
first get everything that it missed."""

logger = logging.getLogger(__name__)


class GivenUpError(Exception):
    """An arrival found no free connection in time, or was still due when the run had to end."""


class LoadPlan(NamedTuple):
    """What a scenario needs.

    Attributes:
        rate_per_s: Arrivals a second, evenly spaced; infinite for all at the same instant.
        size: Arrivals in all; infinite for no end.
        accounts: How many accounts to make.
        limit: The limit of each.
    """

    rate_per_s: float
    size: float = math.inf
    accounts: int = 1
    limit: int = UNLIMITED


class LoadRun:
    """One load test, from the start of its schedule to the verdict."""

    def __init__(self, environment: Environment, scenario: "type[OpenLoopUser]", options: LoadOptions) -> None:
        self.environment = environment
        self.scenario = scenario
        self.options = options
        self.plan = scenario.plan(options)
        self.accounts = AccountsClient(environment.host or "")
        self.account_ids = self.accounts.make(self.plan.accounts, self.plan.limit)
        self.created = 0
        self.started, self.closed = Event(), Event()
        self._weights = list(accumulate((rank + 1) ** -options.zipf_exponent for rank in range(self.plan.accounts)))
        self._random = Random(0)  # noqa: S311  # the same choices every time
        self._start_s = 0.0
        self._taken = self._served = 0
        self._due = self._due_in_time = 0.0

    def start(self) -> None:
        """Begin the schedule, once every connection is there."""
        if not self.started.is_set():
            self._start_s = time.perf_counter()
            self.started.set()

    def close(self) -> None:
        """End the schedule; what is due already is seen through."""
        if self.started.is_set() and not self.closed.is_set():
            now_s = time.perf_counter()
            self._due = self._due_at(now_s)
            # What became due a moment ago may still be under way.
            self._due_in_time = self._due_at(now_s - self.p99_ms_max / 1000)
            self._served_in_time = self._served
        self.closed.set()
        self.started.set()

    def _due_at(self, now_s: float) -> float:
        elapsed_s = max(0.0, now_s - self._start_s)
        if math.isinf(self.plan.rate_per_s):
            return self.plan.size
        return min(self.plan.size, math.floor(elapsed_s * self.plan.rate_per_s))

    @property
    def p99_ms_max(self) -> float:
        """Threshold of each p99, in milliseconds."""
        asked = self.options.check_p99_ms
        return self.scenario.p99_ms_max if asked is None else asked

    def choose(self) -> str:
        """Return an account: the one of rank k with a probability in proportion to ``1 / k ** exponent`` (Zipf)."""
        return self._random.choices(self.account_ids, cum_weights=self._weights)[0]

    def take(self) -> float | None:
        """Wait for the next arrival; return when it was due, or None at the end of the schedule."""
        if self._taken >= (self._due if self.closed.is_set() else self.plan.size):
            return None
        due_s = self._start_s + self._taken / self.plan.rate_per_s
        self._taken += 1
        remaining_s = due_s - time.perf_counter()
        if remaining_s > 0 and self.closed.wait(remaining_s):
            self._taken -= 1
            return None
        return due_s

    def finish(self) -> None:
        """Count an arrival as served, and end the run when that was the last one."""
        self._served += 1
        runner = self.environment.runner
        if self._served >= self.plan.size and runner is not None:
            self.close()
            headless = self.environment.parsed_options is not None and self.environment.parsed_options.headless
            # Not in this connection's greenlet: it is among those that are waited for.
            gevent.spawn(runner.quit if headless else runner.stop)

    def give_up(self, due_s: float, why: str) -> None:
        """Count an arrival that was never sent as a failure."""
        self.environment.events.request.fire(
            request_type="POST",
            name=CREATE,
            response_time=1000 * (time.perf_counter() - due_s),
            response_length=0,
            exception=GivenUpError(why),
            context={},
        )

    def conclude(self) -> None:
        """Check the thresholds, say so by the exit status, and delete the accounts."""
        self.close()
        for number in range(self._taken, int(self._due)):
            self.give_up(self._start_s + number / self.plan.rate_per_s, "not sent when the run had to end")
        offences = list(self._check())
        for offence in offences:
            logger.error("FAILED: %s", offence)
        if not offences:
            logger.info("PASSED: %s", self.scenario.__name__)
            self.environment.process_exit_code = 0

    def _check(self) -> Iterator[str]:
        yield from self._check_thresholds()
        if self.environment.runner is not None and self.environment.runner.exceptions:
            yield "the load test itself failed; its exceptions are above"
        try:
            yield from self.scenario.check(self)
        except AccountsError as exc:
            yield str(exc)
        try:
            self.accounts.delete(self.account_ids)
        except AccountsError as exc:
            yield str(exc)

    def _check_thresholds(self) -> Iterator[str]:
        stats, options = self.environment.stats, self.options
        if not stats.total.num_requests:
            yield "no request was sent"
            return
        for entry in stats.entries.values():
            p99_ms = entry.get_response_time_percentile(0.99)
            if p99_ms > self.p99_ms_max:
                yield f"p99 of {entry.name} is {p99_ms} ms, over {self.p99_ms_max:g} ms"
        if stats.total.fail_ratio > options.check_error_share:
            yield f"{stats.total.fail_ratio:.2%} of all requests failed, over {options.check_error_share:.2%}"
        if math.isinf(self.plan.size) and self._served_in_time < options.check_rate_share * self._due_in_time:
            yield f"{self._served_in_time} of {self._due_in_time:.0f} arrivals were served in time"


class OpenLoopUser(FastHttpUser):
    """A connection. What it does with an arrival is up to the scenario."""

    abstract = True
    p99_ms_max: ClassVar[float] = 500.0
    run_now: ClassVar[LoadRun | None] = None
    # Twice what the service allows itself for an operation.
    network_timeout = connection_timeout = 10.0

    @classmethod
    def plan(cls, options: LoadOptions) -> LoadPlan:
        """Return what the scenario needs."""
        raise NotImplementedError

    @classmethod
    def check(cls, run: LoadRun) -> Iterator[str]:
        """Yield a line for each thing that is wrong after the load; nothing is, unless the scenario knows better."""
        del run
        yield from ()

    def serve(self, due_s: float) -> None:
        """Send the requests of an arrival that was due at this time."""
        raise NotImplementedError

    def on_start(self) -> None:
        """Wait for all the other connections."""
        if OpenLoopUser.run_now is None:
            raise StopUser
        self.current = OpenLoopUser.run_now
        self.current.started.wait()

    @task
    def serve_next(self) -> None:
        """See the next arrival through; after the end of the schedule, all that are due."""
        while (due_s := self.current.take()) is not None:
            if time.perf_counter() - due_s > _PATIENCE_S:
                self.current.give_up(due_s, f"no free connection in {_PATIENCE_S:.0f} s")
            else:
                self.serve(due_s)
            self.current.finish()
            if not self.current.closed.is_set():
                return
        # Locust stumbles over users that end while it stops them.
        self.current.closed.wait()
        raise StopUser

    def create(self, account_id: str, due_s: float, *, may_be_refused: bool = False) -> str | None:
        """Create a service that was due at this time; return its id, None if there is none."""
        body = {"account_id": account_id, "name": "load"}
        with self.client.post("/services", json=body, name=CREATE, catch_response=True) as response:
            if response.status_code == HTTPStatus.CREATED:
                self.current.created += 1
                self._report(response, CREATE, due_s, failed=False)
                service_id: str = response.json()["id"]
                return service_id
            refused = may_be_refused and response.status_code == HTTPStatus.CONFLICT
            self._report(response, REFUSED if refused else CREATE, due_s, failed=not refused)
        return None

    def delete(self, account_id: str, service_id: str) -> None:
        """Delete a service; that is due now."""
        due_s = time.perf_counter()
        path = f"/services/{service_id}?account_id={account_id}"
        with self.client.delete(path, name=DELETE, catch_response=True) as response:
            self._report(response, DELETE, due_s, failed=response.status_code != HTTPStatus.NO_CONTENT)

    @staticmethod
    def _report(response: ResponseContextManager, name: str, due_s: float, *, failed: bool) -> None:
        """Give Locust the latency from when the request was due in place of its own."""
        response.request_meta["name"] = name
        response.request_meta["response_time"] = 1000 * (time.perf_counter() - due_s)
        if not failed:
            response.success()
        elif response.status_code:
            response.failure(f"answered {response.status_code}")
        # Else there was no answer, and Locust knows why.


def begin(environment: Environment, **_: object) -> None:
    """Exit if this is one of several Locust processes: each would play the whole schedule on accounts of its own."""
    hub = gevent.get_hub()
    # gevent's timers count from when its loop last turned, which was before all imports: --run-time would be cut short.
    hub.loop.update_now()
    # Locust logs its reason as one line; gevent would print a traceback before it.
    hub.NOT_ERROR = (*hub.NOT_ERROR, StopTest)
    # Requests that are not part of the load are nobody's business.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    if not isinstance(environment.runner, LocalRunner):
        raise SystemExit("This load test runs in one process: without --processes, --master and --worker.")


def prepare(environment: Environment, **_: object) -> None:
    """Make what the chosen scenario needs, before any connection is there.

    Raises:
        StopTest: That is not possible; Locust logs the reason as one line.
    """
    # Only a verdict changes that.
    environment.process_exit_code = 1
    try:
        OpenLoopUser.run_now = _make_run(environment)
    except (OptionError, AccountsError) as exc:
        raise StopTest(str(exc)) from exc


def _make_run(environment: Environment) -> LoadRun:
    if not environment.host:
        raise OptionError("Say with --host where the API is, or start all with ./taskw load:locust.")
    environment.host = environment.host.rstrip("/")
    scenarios = [scenario for scenario in environment.user_classes if issubclass(scenario, OpenLoopUser)]
    if len(scenarios) != 1 or environment.parsed_options is None:
        raise OptionError("Choose one user class: a run has one schedule.")
    return LoadRun(environment, scenarios[0], read_options(environment.parsed_options))


def _of_run(step: Callable[[LoadRun], None]) -> Callable[..., None]:
    """Return what takes a step of the run under way, if there is one."""
    return lambda **_: step(OpenLoopUser.run_now) if OpenLoopUser.run_now else None


def conclude(**_: object) -> None:
    """Come to a verdict, once for each run."""
    run, OpenLoopUser.run_now = OpenLoopUser.run_now, None
    if run is not None:
        run.conclude()


def register(default: type[OpenLoopUser]) -> None:
    """Have Locust call us; the default is the scenario that runs when none is named."""
    events.init_command_line_parser.add_listener(lambda parser, **_: add_options(parser, default.__name__))
    events.init.add_listener(begin)
    events.test_start.add_listener(prepare)
    events.spawning_complete.add_listener(_of_run(LoadRun.start))
    events.test_stopping.add_listener(_of_run(LoadRun.close))
    events.test_stop.add_listener(conclude)
    # A verdict also when Ctrl-C ends the run: Locust would decide on the exit status first.
    events.quitting.add_listener(lambda environment, **_: environment.runner and environment.runner.stop())
