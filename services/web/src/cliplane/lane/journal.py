"""One log line and the metrics of each request that reached a lane, however it ended."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any

import structlog

from cliplane import metrics
from cliplane.errors import ClientGone, CliplaneError
from cliplane.lane.requests import Request
from cliplane.lane.run import Event

log = structlog.get_logger()

CLASSIFIED, SEGMENTED = "classified", "segmented"

CLIENT_GONE = "client-gone"
"""The outcome of a request whose client has left."""


@contextmanager
def refusals(key: str) -> Iterator[None]:
    """Writes down a request that is refused before its job is known; `key`: the name of its key, or nothing."""
    try:
        yield
    except ClientGone:
        metrics.REQUESTS.labels("", CLIENT_GONE).inc()
        log.warning("failed", error=CLIENT_GONE)
        raise
    except CliplaneError as error:
        metrics.REQUESTS.labels("", error.type).inc()
        metrics.PROBLEMS.labels(error.type, key).inc()
        log.warning("failed", error=error.type, status=error.status, detail=error.detail)
        raise
    except Exception:
        metrics.REQUESTS.labels("", CliplaneError.type).inc()
        metrics.PROBLEMS.labels(CliplaneError.type, key).inc()
        raise


def recorded(events: Generator[Event], job: Request, is_model: Callable[[str], bool]) -> Generator[Event]:
    """The same events; writes down the result, the error, or that the client left.

    `is_model`: whether there is a model of that name. Any other is the client's to choose, and may not become a label.
    """
    outcome = CLIENT_GONE
    try:
        with closing(events):  # a client that leaves ends the work now, not when the garbage is collected
            for event in events:
                if event.name == "result":
                    outcome = SEGMENTED if "segments" in event.data else CLASSIFIED
                    _answered(outcome, event.data)
                yield event
    except CliplaneError as error:
        outcome = error.type
        cause = type(error.__cause__).__name__ if error.__cause__ else None
        log.warning("failed", model=job.model, error=error.type, status=error.status, detail=error.detail, cause=cause)
        raise
    except ClientGone:
        raise
    except Exception:
        outcome = CliplaneError.type
        raise
    finally:
        metrics.REQUESTS.labels(job.model if is_model(job.model) else "", outcome).inc()
        if outcome == CLIENT_GONE:
            log.warning("failed", model=job.model, error=CLIENT_GONE)
        elif outcome not in (CLASSIFIED, SEGMENTED):
            metrics.PROBLEMS.labels(outcome, job.key).inc()


def _answered(outcome: str, result: dict[str, Any]) -> None:
    timing = result["timing_ms"]
    if outcome == CLASSIFIED:  # how long segments take is their video's length
        for stage, ms in timing.items():
            metrics.STAGE_SECONDS.labels(stage).observe(ms / 1000)
    answers = result.get("answers", [result])  # of several models
    views = sum(len(one["views"]) for one in answers) if outcome == CLASSIFIED else result["windows"]
    metrics.HANDOFFS.labels(result["handoff"]).inc()
    for one in answers:
        metrics.VIEWS.labels(one["model"]).inc(len(one["views"]) if outcome == CLASSIFIED else views)
    if "auto" in result:
        metrics.VIEWS_SAVED.labels(result["model"]).inc(result["auto"]["planned"] - result["auto"]["used"])
    warnings = [warning["type"] for warning in result["warnings"]]
    for type_ in warnings:
        metrics.WARNINGS.labels(type_).inc()
    log.info(
        outcome,
        model=",".join(one["model"] for one in answers),
        version=",".join(one["version"] for one in answers),
        handoff=result["handoff"],
        views=views,
        container=result["video"]["container"],
        warnings=warnings,
        le=metrics.bucket(timing["total"] / 1000),  # from a slow bucket of the histogram to its requests
        **{f"{stage}_ms": ms for stage, ms in timing.items()},
    )
