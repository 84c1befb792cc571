"""How long the control plane waits for what it asks others: it must always have a thread for those who ask whether it
lives, however many wait for a Triton that stands still."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

from cliplane.errors import CliplaneError, TritonUnavailable

PATIENCE_S = 1.5
"""Less than the 2 s in which /readyz answers, whatever the answer is."""

THREADS = 20
"""Of the control plane: `threads` in gunicorn.conf.py. Made when they are needed."""

MAX_WAITING = 12
"""Threads that may wait for Triton. Four more may follow events, and the rest is for answers that wait for nobody."""


class Patience:
    """Asks each question on a thread of its own, once for all who want to know; safe to use from several threads."""

    def __init__(self) -> None:
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)
        self._lock = threading.Lock()
        self._asked: dict[tuple[Callable[..., object], tuple[str, ...]], Future[object]] = {}

    def ask[T](self, question: Callable[..., T], *about: str) -> T:
        """What the question returns, called with `about`.

        Raises:
            TritonUnavailable: nothing within `PATIENCE_S`, or too many wait already.
            CliplaneError: as the question does.
        """
        if not self._waiting.acquire(blocking=False):
            raise TritonUnavailable("too many wait for its answer")
        try:
            answer: Future[T] = self._answer(question, about)
            error = answer.exception(PATIENCE_S)
        except TimeoutError:
            raise TritonUnavailable(f"no answer within {PATIENCE_S:g} s") from None
        finally:
            self._waiting.release()
        if isinstance(error, CliplaneError):
            raise error.anew() from error.__cause__
        return answer.result()

    def _answer[T](self, question: Callable[..., T], about: tuple[str, ...]) -> Future[T]:
        with self._lock:
            answer: Future[T] | None = self._asked.get((question, about))  # type: ignore[assignment]
            if answer is None:
                answer = Future()
                self._asked[question, about] = answer  # type: ignore[assignment]
                threading.Thread(target=self._find_out, args=(question, about, answer), daemon=True).start()
            return answer

    def _find_out[T](self, question: Callable[..., T], about: tuple[str, ...], answer: Future[T]) -> None:
        try:
            value = question(*about)
        except Exception as exc:
            self._forget(question, about)
            answer.set_exception(exc)
        else:
            self._forget(question, about)
            answer.set_result(value)

    def _forget(self, question: Callable[..., object], about: tuple[str, ...]) -> None:
        with self._lock:
            del self._asked[question, about]
