"""Wait until the stack can answer, and say where: the last step of `make up`.

`python -m cliplane.ops.wait [HOST:PORT]`
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from typing import Any

from cliplane.ops import tls

PATIENCE_S = 120


def ready() -> Any:
    """The answer of /readyz, as soon as it is 200.

    Raises:
        TimeoutError: it was not in time; with the reason.
    """
    # No proxy of the container's environment stands between a container and itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + PATIENCE_S
    detail = "no answer"
    while time.monotonic() < deadline:
        try:
            with opener.open("http://127.0.0.1:8081/readyz", timeout=5) as response:
                return json.load(response)
        except urllib.error.HTTPError as exc:
            problem = json.load(exc)
            detail = f"{problem['title']}: {problem['detail']}"
        except OSError as exc:
            detail = str(exc)
        time.sleep(0.2)
    raise TimeoutError(f"not ready after {PATIENCE_S} s: {detail}")


def say_where(published: str | None) -> None:
    """The line that `make up` and `make upgrade` end with."""
    found, pair = ready(), tls.pair()
    where = f"{'https' if pair else 'http'}://{published}/" if published else "inside the container"
    print(f"ready: {where} (model {found['model']}, hand-off {found['handoff']})")
    if pair and not pair.is_given:
        print(f"its certificate is self-signed, keys/self-signed.crt: SHA-256 {pair.fingerprint()}")


def main() -> None:
    try:
        say_where(sys.argv[1] if len(sys.argv) > 1 else None)
    except TimeoutError as exc:
        sys.exit(str(exc))


if __name__ == "__main__":
    main()
