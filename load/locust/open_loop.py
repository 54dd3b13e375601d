"""How Locust runs an open loop: each of its users is a connection that takes the next arrival of one shared schedule.

Locust's own ``constant_throughput`` is a closed loop: a user that waits for an answer sends nothing. So ``--users`` is
the number of connections here, and ``--rate`` the schedule. All of Locust's reports show the latency from the intended
start; the time from sending to the answer is logged apart at the end.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Iterator
from http import HTTPStatus
from typing import ClassVar, Final, NamedTuple

import gevent
from gevent.event import Event
from locust import FastHttpUser, events, task
from locust.contrib.fasthttp import ResponseContextManager
from locust.env import Environment
from locust.exception import StopTest, StopUser
from locust.runners import LocalRunner

from load.accounts import UNLIMITED, Accounts, AccountsError
from load.locust.arrivals import PATIENCE_S, Arrival, Arrivals, Loop, Schedule, Timing
from load.locust.options import P99_MS_MAX, LoadOptions, OptionError, add_options, read_options
from load.locust.skew import ZipfChoice
from load.locust.thresholds import ArrivalRate, LoadFigures, to_lines

CREATE: Final = "create"
REFUSED: Final = "create at the limit"
DELETE: Final = "delete"

logger = logging.getLogger(__name__)


class GivenUpError(Exception):
    """An arrival found no free connection in time, or was still under way when the run had to end."""


class Plan(NamedTuple):
    """What a scenario needs.

    Attributes:
        schedule: When requests arrive.
        accounts: How many accounts to make.
        limit: The limit of each.
    """

    schedule: Schedule
    accounts: int = 1
    limit: int = UNLIMITED


class Run:
    """One load test, from the start of its schedule to the verdict."""

    def __init__(self, environment: Environment, scenario: "type[OpenLoopUser]", options: LoadOptions) -> None:
        self.environment = environment
        self.scenario = scenario
        self.thresholds = options.thresholds(scenario.p99_ms_max)
        self.plan = scenario.plan(options)
        self.accounts = Accounts(environment.host or "")
        self.account_ids = self.accounts.make(self.plan.accounts, self.plan.limit)
        self.choice = ZipfChoice(self.account_ids, options.zipf_exponent, options.seed)
        self.measured: dict[str, LoadFigures] = defaultdict(LoadFigures)
        self.created = 0
        self.arrivals: Arrivals | None = None
        self.pace: ArrivalRate | None = None
        self.started, self.closed = Event(), Event()

    def start(self) -> None:
        """Begin the schedule, once every connection is there."""
        if self.arrivals is None:
            self.arrivals = Arrivals(self.plan.schedule, time.perf_counter())
            self.started.set()

    def close(self) -> None:
        """End the schedule; what is due already is seen through."""
        if self.arrivals is not None and self.pace is None:
            now_s = time.perf_counter()
            # What became due a moment ago may still be under way.
            allowed_s = self.thresholds.p99_ms_max / 1000
            self.pace = ArrivalRate(self.arrivals.count_due(now_s - allowed_s), self.arrivals.served)
            self.arrivals.close(now_s)
        self.closed.set()
        self.started.set()

    def wait_until(self, due_s: float) -> None:
        """Wait until it is time, or the schedule ends."""
        remaining_s = due_s - time.perf_counter()
        if remaining_s > 0:
            self.closed.wait(remaining_s)

    def give_up(self, arrival: Arrival, why: str = f"no free connection in {PATIENCE_S:.0f} s") -> None:
        """Count an arrival that was never sent, or not seen through, as a failure."""
        now_s = time.perf_counter()
        timing = Timing(arrival.due_s, now_s, now_s)
        self.measured[CREATE].add(timing, failed=True)
        self.environment.events.request.fire(
            request_type="POST",
            name=CREATE,
            response_time=timing.latency_ms,
            response_length=0,
            exception=GivenUpError(why),
            context={},
        )

    def end_if_over(self) -> None:
        """End the run when its schedule has an end and that is reached."""
        runner = self.environment.runner
        if self.arrivals is not None and self.arrivals.is_over and not self.closed.is_set() and runner is not None:
            self.close()
            headless = self.environment.parsed_options is not None and self.environment.parsed_options.headless
            # Not in this connection's greenlet: it is among those that are waited for.
            gevent.spawn(runner.quit if headless else runner.stop)

    def conclude(self) -> None:
        """Report what was measured, check the thresholds, say so by the exit status, and delete the accounts."""
        self.close()
        for arrival in self.arrivals.unfinished() if self.arrivals is not None else ():
            self.give_up(arrival, "not done when the run had to end")
        offences = list(self._check())
        for line in to_lines(self.measured):
            logger.info(line)
        for offence in offences:
            logger.error("FAILED: %s", offence)
        if not offences:
            logger.info("PASSED: %s", self.scenario.__name__)
            self.environment.process_exit_code = 0

    def _check(self) -> Iterator[str]:
        yield from self.thresholds.check(self.measured, self.pace if self.plan.schedule.size is None else None)
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


class OpenLoopUser(FastHttpUser):
    """A connection. What it does with an arrival is up to the scenario."""

    abstract = True
    p99_ms_max: ClassVar[float] = P99_MS_MAX
    run_now: ClassVar[Run | None] = None
    # Twice what the service allows itself for an operation.
    network_timeout = connection_timeout = 10.0

    @classmethod
    def plan(cls, options: LoadOptions) -> Plan:
        """Return what the scenario needs."""
        raise NotImplementedError

    @classmethod
    def check(cls, run: Run) -> Iterator[str]:
        """Yield a line for each thing that is wrong after the load; nothing is, unless the scenario knows better."""
        del run
        yield from ()

    def serve(self, arrival: Arrival) -> None:
        """Send the requests of an arrival."""
        raise NotImplementedError

    def on_start(self) -> None:
        """Wait for all the other connections."""
        self.current = _require_run()
        self._loop = Loop(time.perf_counter, self.current.wait_until, self.serve, self.current.give_up)
        self.current.started.wait()

    @task
    def serve_next(self) -> None:
        """See the next arrival through; after the end of the schedule, all that are due."""
        arrivals, closed = self.current.arrivals, self.current.closed
        while arrivals is not None and self._loop.serve_next(arrivals):
            self.current.end_if_over()
            if not closed.is_set():
                return
        # Locust stumbles over users that end while it stops them.
        closed.wait()
        raise StopUser

    def create(self, account_id: str, due_s: float, *, may_be_refused: bool = False) -> tuple[str | None, float]:
        """Create a service that was due at a time; return its id, None if there is none, and the time of the answer."""
        body = {"account_id": account_id, "name": "load"}
        begun_s = time.perf_counter()
        with self.client.post("/services", json=body, name=CREATE, catch_response=True) as response:
            timing = Timing(due_s, begun_s, time.perf_counter())
            if response.status_code == HTTPStatus.CREATED:
                self.current.created += 1
                self._report(response, CREATE, timing, failed=False)
                service_id: str = response.json()["id"]
                return service_id, timing.ended_s
            refused = may_be_refused and response.status_code == HTTPStatus.CONFLICT
            self._report(response, REFUSED if refused else CREATE, timing, failed=not refused)
        return None, timing.ended_s

    def delete(self, account_id: str, service_id: str, due_s: float) -> None:
        """Delete a service; that was due when its create was answered."""
        begun_s = time.perf_counter()
        path = f"/services/{service_id}?account_id={account_id}"
        with self.client.delete(path, name=DELETE, catch_response=True) as response:
            timing = Timing(due_s, begun_s, time.perf_counter())
            self._report(response, DELETE, timing, failed=response.status_code != HTTPStatus.NO_CONTENT)

    def _report(self, response: ResponseContextManager, name: str, timing: Timing, *, failed: bool) -> None:
        """Give Locust the latency from the intended start in place of its own."""
        self.current.measured[name].add(timing, failed=failed)
        response.request_meta["name"] = name
        response.request_meta["response_time"] = timing.latency_ms
        if not failed:
            response.success()
        elif response.status_code:
            response.failure(f"answered {response.status_code}")
        # Else there was no answer, and Locust knows why.


def _require_run() -> Run:
    run = OpenLoopUser.run_now
    if run is None:
        raise StopUser
    return run


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


def _make_run(environment: Environment) -> Run:
    if not environment.host:
        raise OptionError("Say with --host where the API is, or start all with ./taskw load:locust.")
    environment.host = environment.host.rstrip("/")
    scenarios = [scenario for scenario in environment.user_classes if issubclass(scenario, OpenLoopUser)]
    if len(scenarios) != 1 or environment.parsed_options is None:
        raise OptionError("Choose one user class: a run has one schedule.")
    return Run(environment, scenarios[0], read_options(environment.parsed_options))


def start_schedule(**_: object) -> None:
    """Start when all connections are there."""
    if OpenLoopUser.run_now is not None:
        OpenLoopUser.run_now.start()


def close_schedule(**_: object) -> None:
    """End the schedule before Locust stops the connections."""
    if OpenLoopUser.run_now is not None:
        OpenLoopUser.run_now.close()


def conclude(**_: object) -> None:
    """Come to a verdict, once for each run."""
    run, OpenLoopUser.run_now = OpenLoopUser.run_now, None
    if run is not None:
        run.conclude()


def stop_first(environment: Environment, **_: object) -> None:
    """Come to a verdict also when Ctrl-C ends the run: Locust would decide on the exit status first."""
    if environment.runner is not None:
        environment.runner.stop()


def register(default: type[OpenLoopUser]) -> None:
    """Have Locust call us; the default is the scenario that runs when none is named."""
    events.init_command_line_parser.add_listener(lambda parser, **_: add_options(parser, default.__name__))
    events.init.add_listener(begin)
    events.test_start.add_listener(prepare)
    events.spawning_complete.add_listener(start_schedule)
    events.test_stopping.add_listener(close_schedule)
    events.test_stop.add_listener(conclude)
    events.quitting.add_listener(stop_first)
