"""Schemathesis against the running stack: requests made from /openapi.json, good ones and bad.

No 5xx but the documented one of a stack that is busy, and no answer that the document does not tell of.
"""

from __future__ import annotations

import os

import schemathesis
from hypothesis import HealthCheck, Phase, settings

schema = schemathesis.openapi.from_url(f"{os.environ['BASE']}/openapi.json")


@schema.parametrize()
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
    derandomize=True,
)
def test_every_operation_keeps_its_contract(case: schemathesis.Case) -> None:
    case.call_and_validate(timeout=30)
