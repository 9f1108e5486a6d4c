"""Pickles and copies of our objects: they hold the ID of a connection, and nothing else.

What is unpickled asks the program at its first use, not before: an error while a worker of a pool unpickles its task ends
the worker, and the pool waits forever.
"""

from __future__ import annotations

import os
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from .connection import Connection

    _T = TypeVar("_T")

_lock = threading.RLock()

#: The connections that this process has unpickled, by ID: a thousand tasks with one of them share
#: its tokens.
_connections: dict[str, Connection] = {}

#: What else is to be forgotten in a forked process.
at_fork: list[Callable[[], None]] = []


class ById:
    """An object that is pickled and copied as the ID of its connection."""

    def _connection_id(self) -> str:
        return getattr(self, "connection", self).id

    def _begin_again(self, connection_id: str) -> None:
        """Fills an object that was unpickled; called at its first use."""
        from .connection import Connection

        given: Any = {"connection": restore(Connection, connection_id)}
        if isinstance(self, Connection):
            given = {"connection_id": connection_id}
        type(self).__init__(self, **given)

    def __reduce__(self) -> tuple[Any, ...]:
        return restore, (type(self), self.__dict__.get("_restored_id") or self._connection_id())

    def __getattr__(self, name: str) -> Any:
        # Only called for an attribute that is missing, as all are until the first use.
        restored = self.__dict__.get("_restored_id")
        if restored is None or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        with _lock:
            if "_restored_id" in self.__dict__:
                self._begin_again(restored)
                del self.__dict__["_restored_id"]
        return getattr(self, name)


def restore(kind: type[_T], connection_id: str) -> _T:
    """The object of an unpickled ID. Does not start the program."""
    from .connection import Connection

    if kind is not Connection:
        return _later(kind, connection_id)
    # Without the lock, which an object holds while it starts the program. Setting a default is
    # one step.
    known: Any = _connections.get(connection_id)
    return _connections.setdefault(connection_id, _later(kind, connection_id)) if known is None else known


def _later(kind: type[_T], connection_id: str) -> _T:
    one = kind.__new__(kind)
    one.__dict__["_restored_id"] = connection_id
    return one


def _forget() -> None:
    """In a forked process, which must not wait for threads that it does not have, nor share connections to a portal."""
    global _lock
    _lock = threading.RLock()
    _connections.clear()
    for forget in at_fork:
        forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
