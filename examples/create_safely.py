"""Create a service so that it is made once, whatever happens on the way: ``python examples/create_safely.py [URL]``.

The id is the caller's own. A repeat answers 200 with the service that is there, and counts once. Standard library only.
"""

import json
import sys
import time
import urllib.error
import urllib.request

TRIES = 5


def post(url: str, body: dict[str, object]) -> tuple[int, dict[str, object], float]:
    """Send JSON; return the status, the answer, and how many seconds to wait before a repeat."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer), 0.0
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), float(error.headers.get("Retry-After", "0"))


def create_service(url: str, account_id: str, service_id: str, name: str) -> dict[str, object]:
    """Return the service, new or there already.

    Raises:
        RuntimeError: The limit is reached, the input is bad, or there was no answer in all tries.
    """
    body: dict[str, object] = {"account_id": account_id, "id": service_id, "name": name}
    for attempt in range(TRIES):
        try:
            status, answer, wait_s = post(f"{url}/services", body)
        except (urllib.error.URLError, TimeoutError):
            # Nobody knows whether it was made; the repeat finds out.
            status, answer, wait_s = 0, {}, 0.0
        if status in (200, 201):
            return answer
        if 400 <= status < 500:
            raise RuntimeError(f"{answer['title']} {answer.get('detail', '')}")
        time.sleep(wait_s or 0.1 * 2**attempt)
    raise RuntimeError("No answer. Send the same request again later: it is made once at most.")


def main() -> None:
    """Make an account with room for one service, create that twice, and another one in vain."""
    url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    _, account, _ = post(f"{url}/accounts", {"username": "example", "max_number_of_services": 1})
    account_id = str(account["id"])
    print(create_service(url, account_id, "order-17", "billing"))
    print(create_service(url, account_id, "order-17", "billing"))
    try:
        create_service(url, account_id, "order-18", "search")
    except RuntimeError as refused:
        print(refused)


if __name__ == "__main__":
    main()
