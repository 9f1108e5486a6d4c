"""The connections in QGIS's own browser panel: entries of QGIS's settings, without anything secret."""

from __future__ import annotations

import json

from qgis.core import Qgis, QgsSettings

from . import answers

#: Which entry belongs to which connection, by ID.
_ENTRIES = "age_oauth/browser"
#: Where QGIS keeps its ArcGIS connections, and the sign-ins of its own for them until QGIS 3.30.
_IS_NEW = Qgis.QGIS_VERSION_INT >= 33000
_ROOT = "connections/arcgisfeatureserver/items" if _IS_NEW else "qgis/connections-arcgisfeatureserver"
_SIGN_INS = "qgis/ARCGISFEATURESERVER"
_COMMUNITY, _CONTENT = ("community-endpoint", "content-endpoint") if _IS_NEW else ("community_endpoint", "content_endpoint")
#: The path of QGIS's item for ArcGIS connections in the panel.
_ITEM = "arcgisfeatureserver:"


class Browser:
    """The entries that this plugin has made. It touches no others."""

    def __init__(self, iface: object) -> None:
        self._entries = _read()
        self._model = iface.browserModel()  # type: ignore[attr-defined]
        if self._model is not None:
            self._model.destroyed.connect(self._forget_model)

    def add(self, connection_id: str, label: str, directory: str, api_url: str) -> None:
        """Makes or changes the entry of a connection."""
        name = self._entries.get(connection_id)
        wanted = answers.browser_name(label, ())
        if name is None or not name.startswith(wanted):
            self._forget(connection_id)
            name = answers.browser_name(label, _names())
        settings = QgsSettings()
        settings.setValue(f"{_ROOT}/{name}/url", directory)
        settings.setValue(f"{_ROOT}/{name}/{_COMMUNITY}", f"{api_url}/sharing/rest/community")
        settings.setValue(f"{_ROOT}/{name}/{_CONTENT}", f"{api_url}/sharing/rest/content")
        self._entries[connection_id] = name
        self._changed()

    def has(self, connection_id: str) -> bool:
        """Whether the connection has an entry. Another QGIS of this profile removes them when it ends."""
        name = self._entries.get(connection_id)
        return bool(name) and bool(QgsSettings().value(f"{_ROOT}/{name}/url", ""))

    def remove(self, connection_id: str) -> None:
        """Removes the entry of a connection, if there is one."""
        if self._forget(connection_id):
            self._changed()

    def close(self) -> None:
        """Removes all entries that this plugin has made."""
        if any([self._forget(one) for one in list(self._entries)]):
            self._changed()
        if self._model is not None:
            self._model.destroyed.disconnect(self._forget_model)

    def _forget_model(self) -> None:
        # When QGIS ends, the model is deleted before plugins are unloaded.
        self._model = None

    def _forget(self, connection_id: str) -> bool:
        name = self._entries.pop(connection_id, None)
        if not name:
            return False
        settings = QgsSettings()
        settings.remove(f"{_ROOT}/{name}")
        settings.remove(f"{_SIGN_INS}/{name}")
        return True

    def _changed(self) -> None:
        QgsSettings().setValue(_ENTRIES, json.dumps(self._entries))
        if self._model is not None:
            self._model.refresh(_ITEM)


def _read() -> "dict[str, str]":
    try:
        found = json.loads(str(QgsSettings().value(_ENTRIES, "{}")))
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    # An empty name would stand for all entries.
    return {one: name for one, name in found.items() if isinstance(name, str) and name.strip() and "/" not in name}


def _names() -> "set[str]":
    """The names that QGIS has something for: a connection, or a sign-in of its own that a new one would take over."""
    found: "set[str]" = set()
    settings = QgsSettings()
    for group in (_ROOT, _SIGN_INS):
        settings.beginGroup(group)
        found.update(settings.childGroups())
        settings.endGroup()
    return found
