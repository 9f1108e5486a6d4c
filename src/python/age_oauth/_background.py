"""Questions to the program that take a while, each asked by a thread of its own for all threads that need the answer."""

from __future__ import annotations

import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: After a failure, the question is not asked again for so many seconds, except by
#: :meth:`Question.again`.
PAUSE = 10.0

#: After a failure, the question is asked again by itself: after so many seconds at first, and after
#: twice as many each time, up to the limit.
FIRST_RETRY = 15.0
LAST_RETRY = 300.0


class Closed(Exception):
    """The answer is not needed any more."""


class Run:
    """One time that a question was asked."""

    __slots__ = ("_lock", "_done", "began", "value", "error")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done = threading.Event()
        #: When the question was asked, by the monotonic clock.
        self.began = time.monotonic()
        self.value: Any = None
        #: What went wrong; ``None`` while the question is open.
        self.error: "BaseException | None" = None

    def is_done(self) -> bool:
        return self._done.is_set()

    def end(self, value: "Any" = None, error: "BaseException | None" = None) -> bool:
        """Sets the answer or the error, for all threads that wait; ``False`` if the run has ended before."""
        with self._lock:
            if self._done.is_set():
                return False
            self.value, self.error = value, error
            self._done.set()
            return True

    def wait(self, seconds: float) -> bool:
        """Whether there is an answer or an error, after at most so many seconds."""
        return self._done.wait(seconds)


class Question:
    """A question that one thread at a time asks. ``ended`` is called in that thread after each run."""

    def __init__(self, ask: "Callable[[], Any]", ended: "Callable[[Run], None]", *, retries: bool = False) -> None:
        self._ask, self._ended, self._retries = ask, ended, retries
        self._lock = threading.Lock()
        self._run: "Run | None" = None
        self._not_before = 0.0
        self._next_retry = FIRST_RETRY
        self._timer: "threading.Timer | None" = None
        self._is_closed = False

    def run(self) -> Run:
        """The run that goes on, or a new one. Shortly after a failure, the one that failed. Does not wait."""
        with self._lock:
            last = self._run
            if last is not None and not last.is_done():
                return last
            if last is not None and last.error is not None and time.monotonic() < self._not_before:
                return last
            return self._start()

    def answered_or_run(self) -> Run:
        """The last run if it has an answer, and otherwise as :meth:`run`. For what changes seldom."""
        last = self._run
        return last if last is not None and last.is_done() and last.error is None else self.run()

    def again(self) -> Run:
        """The same, also shortly after a failure."""
        with self._lock:
            self._next_retry = FIRST_RETRY
            return self._run if self._run is not None and not self._run.is_done() else self._start()

    def close(self) -> None:
        """Asks no more by itself, and ends the waits for the run that goes on. The program, which may be about to store what
        the portal has just issued, ends by itself."""
        with self._lock:
            self._is_closed = True
            if self._timer is not None:
                self._timer.cancel()
            run = self._run
        if run is not None:
            run.end(error=Closed())

    def _start(self) -> Run:
        run = self._run = Run()
        if self._is_closed:
            run.end(error=Closed())
            return run
        try:
            threading.Thread(target=self._work, args=(run,), name="age-oauth question", daemon=True).start()
        except RuntimeError as error:  # The interpreter ends, or has no thread left.
            run.end(error=error)
        return run

    def _work(self, run: Run) -> None:
        try:
            value = self._ask()
            self._next_retry = FIRST_RETRY
            run.end(value)
        except BaseException as error:
            self._not_before = time.monotonic() + PAUSE
            run.end(error=error)
        if run.error is not None and self._retries:
            self._retry_later()
        self._ended(run)

    def _retry_later(self) -> None:
        with self._lock:
            if self._is_closed or (self._timer is not None and self._timer.is_alive()):
                return
            self._timer = threading.Timer(self._next_retry, self._retry)
            self._timer.daemon = True
            self._next_retry = min(self._next_retry * 2, LAST_RETRY)
            try:
                self._timer.start()
            except RuntimeError:  # As above.
                self._timer = None

    def _retry(self) -> None:
        with self._lock:
            self._timer = None
            if self._is_closed or (self._run is not None and (not self._run.is_done() or self._run.error is None)):
                return
            self._start()
