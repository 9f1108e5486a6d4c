"""There is no sign-in yet: it is told once, and the layers open after a sign-in."""

import sys
import logging

from qgis_support import color, done, feature_layer, map_layer, roads, until
from qgis.core import QgsApplication, QgsProject

import age_oauth.qgis

told, shown = [], []
logging.getLogger("age_oauth").addHandler(type("Told", (logging.Handler,), {"emit": lambda self, one: told.append(one.getMessage())})())
QgsApplication.messageLog().messageReceived[str, str, type(age_oauth.qgis.Qgis.MessageLevel.Warning)].connect(
    lambda text, title, level: shown.append(text) if title == "age-oauth" else None
)
age_oauth.qgis.enable("prod")
land, red, green, blue, *addresses = sys.argv[1:]
layers = [feature_layer(one) for one in addresses]
picture = map_layer(land)
QgsProject.instance().addMapLayer(picture)
expected = int(red), int(green), int(blue)
assert color(picture) != expected
for layer in layers:
    assert not layer.isValid()
    QgsProject.instance().addMapLayer(layer)
until(lambda: shown)
assert len([one for one in told if "age-oauth login" in one or ".login(" in one]) == 1, told
print("ready", flush=True)
sys.stdin.readline()
age_oauth.qgis.enable("prod")
until(lambda: all(layer.isValid() for layer in layers))
assert all(roads(layer) == 7 for layer in layers)
until(lambda: color(picture) == expected)
done()
