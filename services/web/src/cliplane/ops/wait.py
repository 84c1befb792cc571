"""Wait until the stack can answer, and say where: the last step of `make up`.

`python -m cliplane.ops.wait [HOST:PORT]`
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request

from cliplane.ops import tls

PATIENCE_S = 120


def main() -> None:
    pair = tls.pair()
    where = f"{'https' if pair else 'http'}://{sys.argv[1]}/" if len(sys.argv) > 1 else "inside the container"
    # No proxy of the container's environment stands between a container and itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + PATIENCE_S
    detail = "no answer"
    while time.monotonic() < deadline:
        try:
            with opener.open("http://127.0.0.1:8081/readyz", timeout=5) as response:
                ready = json.load(response)
                print(f"ready: {where} (model {ready['model']}, hand-off {ready['handoff']})")
                if pair and not pair.is_given:
                    print(f"its certificate is self-signed, keys/self-signed.crt: SHA-256 {pair.fingerprint()}")
                return
        except urllib.error.HTTPError as exc:
            problem = json.load(exc)
            detail = f"{problem['title']}: {problem['detail']}"
        except OSError as exc:
            detail = str(exc)
        time.sleep(0.2)
    sys.exit(f"not ready after {PATIENCE_S} s: {detail}")


if __name__ == "__main__":
    main()
