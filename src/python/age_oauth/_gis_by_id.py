"""Pickles and copies of Esri's objects that are signed in by us: ``GIS``, its session, layers and items.

A pickle holds the ID of the connection in their place; what is unpickled connects at its first use. Other ``GIS`` objects
stay as Esri made them.
"""

from __future__ import annotations

import copy
import copyreg
import sys
from typing import Any
from weakref import WeakValueDictionary

from . import _by_id
from ._http import TokenAuth
from .connection import Connection

#: The attributes that lead from a ``GIS`` to each part that other objects refer to.
_PARTS = {"gis": "", "portal": "_portal", "connection": "_con", "session": "_session"}

#: The ``GIS`` of a connection that this process pickled last: its copy is itself.
_live: WeakValueDictionary[str, Any] = WeakValueDictionary()

#: What this process has unpickled, by ID of the connection and part.
_restored: dict[tuple[str, str], Any] = {}

_by_id.at_fork += [_live.clear, _restored.clear]


def register() -> None:
    """Makes Esri's objects that are ours picklable. May be called again."""
    from arcgis.gis import Group, Item, User

    for kind in _kinds().values():
        copyreg.pickle(kind, _reduce)
    for kind in (Item, User, Group):
        _register_record(kind)


def _register_loaded() -> None:
    """The same for a class whose import is slow. Esri's layers refer to it, after their ``GIS``."""
    services = sys.modules.get("arcgis.gis.server.admin._services")
    if services is not None:
        _register_record(services.Service)


def _register_record(kind: Any) -> None:
    """For a class whose ``__getattr__`` fails for the names that ``pickle`` and ``copy`` look for, or asks the portal."""
    copyreg.pickle(kind, _reduce_record)
    if not hasattr(kind, "__deepcopy__"):
        kind.__deepcopy__ = lambda one, memo: copy.copy(one)


def _kinds() -> dict[str, type]:
    from arcgis.auth import EsriSession
    from arcgis.gis import GIS
    from arcgis.gis._impl._con import Connection as EsriConnection
    from arcgis.gis._impl._portalpy import Portal

    return {"gis": GIS, "portal": Portal, "connection": EsriConnection, "session": EsriSession}


def _reduce(one: Any) -> Any:
    _register_loaded()
    part = next(name for name, kind in _kinds().items() if type(one) is kind)
    auth = _auth(one)
    if not isinstance(auth, TokenAuth):
        return object.__reduce_ex__(one, 2)
    if part == "gis":
        _live[auth.connection.id] = one
    return restore, (auth.connection.id, part)


def _auth(one: Any) -> Any:
    """The auth handler of a ``GIS`` or of one of its parts."""
    # From a GIS, its portal, connection and session; a session of Esri's holds one of `requests`.
    for name in ("_portal", "con", "_session", "_session", "auth"):
        one = vars(one).get(name, one)
    return one


def restore(connection_id: str, part: str) -> Any:
    """The ``GIS`` of this connection in this process, or a part of it. Does not connect."""
    with _by_id._lock:
        live = _live.get(connection_id)
        if live is not None:
            return _part(live, part)
        known = _restored.get((connection_id, part))
        if known is None:
            known = _restored[connection_id, part] = _later(_kinds()[part], connection_id, part)
        return known


def _part(gis: Any, part: str) -> Any:
    return getattr(gis, _PARTS[part]) if _PARTS[part] else gis


def _connect(connection_id: str, part: str) -> Any:
    """A part of a new ``GIS``, of which there is one for each connection."""
    from arcgis import env

    made = _restored.get((connection_id, "made"))
    if made is None:
        connection = _by_id.restore(Connection, connection_id)
        made = connection.get_gis(prompt_if_missing=False, set_active=env.active_gis is None)
        _restored[connection_id, "made"] = made
    return _part(made, part)


def _later(kind: type, connection_id: str, part: str) -> Any:
    """An object that becomes the real one at its first use. It is of that class already, for ``isinstance``."""

    def begin(one: Any) -> None:
        with _by_id._lock:
            if type(one) is not kind:
                made = _connect(connection_id, part)
                # From now on, both are one object in all but identity.
                object.__setattr__(one, "__dict__", made.__dict__)
                object.__setattr__(one, "__class__", kind)

    class Later(kind):  # type: ignore[misc, valid-type]
        def __getattribute__(self, name: str) -> Any:
            if name.startswith("__"):
                return object.__getattribute__(self, name)
            begin(self)
            return getattr(self, name)

        def __setattr__(self, name: str, value: Any) -> None:
            begin(self)
            setattr(self, name, value)

        def __reduce_ex__(self, protocol: Any) -> Any:
            return restore, (connection_id, part)

        def __repr__(self) -> str:
            begin(self)
            return repr(self)

        __str__ = __repr__

    # What is shown, for example in a message of Esri's code.
    Later.__name__, Later.__qualname__ = kind.__name__, kind.__qualname__
    return Later.__new__(Later)


#: Attributes of an item that refer to it, and are filled again when needed.
_LAYERS = ("layers", "tables")


def _reduce_record(one: Any) -> Any:
    kept = {key: value for key, value in vars(one).items() if key not in ("_depend", *_LAYERS)}
    entries = None
    if isinstance(one, dict):
        entries = {key: None if key in _LAYERS else value for key, value in dict.items(one)}
    depend = vars(one).get("_depend")
    dependencies = None
    if depend is not None:
        dependencies = {key: value for key, value in vars(depend).items() if key != "_item"}
    return restore_record, (type(one), kept, entries, dependencies)


def restore_record(
    kind: type, kept: dict[str, Any], entries: "dict[str, Any] | None", dependencies: "dict[str, Any] | None"
) -> Any:
    """An object from its attributes, the entries if it is a dictionary, and the attributes of its dependencies."""
    one: Any = kind.__new__(kind)
    one.__dict__.update(kept)
    if entries is not None:
        dict.update(one, entries)
        one.__dict__.update({key: None for key in _LAYERS if key in entries})
    if dependencies:
        from arcgis.gis import ItemDependency

        one.__dict__["_depend"] = depend = ItemDependency.__new__(ItemDependency)
        vars(depend).update(dependencies, _item=one)
    return one
