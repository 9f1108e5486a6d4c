"""Connections are enabled by their IDs, as the plugin does while QGIS starts: the program answers while layers wait."""

import sys

from qgis_support import done, feature_layer, roads, until

import age_oauth
import age_oauth.qgis
from age_oauth._signer import Disabled

(address,) = sys.argv[1:]
(connection,) = age_oauth.list_connections()
ended = []
age_oauth.qgis.enable_by_id([connection.id, "gone"], ended.append)
layer = feature_layer(address)
assert layer.isValid(), layer.error().summary()
assert roads(layer) == 7
until(lambda: ended)
assert list(ended[0]) == ["gone"] and isinstance(ended[0]["gone"], age_oauth.ConnectionNotFound), ended
until(lambda: age_oauth.qgis.belongs(connection, address))
assert age_oauth.qgis.is_enabled(connection) and age_oauth.qgis.is_enabled("prod")
assert not age_oauth.qgis.belongs(connection, "https://foreign.example/arcgis/rest/services/Roads/FeatureServer")
age_oauth.qgis.disable()
assert age_oauth.qgis.belongs(connection, address) is False
assert not age_oauth.qgis.is_enabled(connection)

# Disabled before the program has answered.
age_oauth.qgis.enable_by_id([connection.id], ended.append)
age_oauth.qgis.disable()
until(lambda: len(ended) == 2)
assert list(ended[1]) == [connection.id] and isinstance(ended[1][connection.id], Disabled), ended
assert age_oauth.qgis._hook is None
done()
