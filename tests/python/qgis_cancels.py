"""Drawings that are canceled while a token is fetched end, and the next ones draw."""

import sys
import threading
from types import SimpleNamespace
from unittest import mock

from qgis_support import color, done, drawing, feature_layer, map_layer, roads, until
from qgis.core import QgsProject

import age_oauth.qgis

land, red, green, blue, address = sys.argv[1:]
expected = int(red), int(green), int(blue)
age_oauth.qgis.enable("prod")
layers = [map_layer(land), feature_layer(address)]
for layer in layers:
    assert layer.isValid(), layer.error().summary()
    QgsProject.instance().addMapLayer(layer)
assert color(layers[0]) == expected
hook = age_oauth.qgis._hook
provider = hook.signer.portals[0].connection._provider
fetches, answer, gate, asked = provider.token, hook.signer.answer, threading.Event(), []


def held(*arguments):
    gate.wait()
    return fetches(*arguments)


def counted(*arguments, **options):
    asked.append(1)
    return answer(*arguments, **options)


def canceled(layer, number):
    """A drawing that is canceled while its first request waits."""
    gate.clear()
    asked.clear()
    job = drawing(layer, number)
    job.start()
    until(lambda: asked)
    job.cancelWithoutBlocking()
    return job


with mock.patch.object(provider, "kept", return_value=None), mock.patch.object(provider, "token", held):
    with mock.patch.object(hook.signer, "answer", counted):
        for layer in layers:
            # The image of a drawing of before would need no request.
            layer.dataProvider().reloadData()
            for number in range(4):
                job = canceled(layer, number)
                gate.set()
                until(lambda: not job.isActive())
            # And while the portal goes on to answer nothing.
            with mock.patch.object(age_oauth.qgis, "WAIT", 1):
                job = canceled(layer, number)
                until(lambda: not job.isActive())
            gate.set()
# Only the main thread does not wait at all; with windows, the others wait for a shorter time.
waits = []
for modules in ({}, {"qgis.utils": SimpleNamespace(iface=object())}):
    with mock.patch.dict(sys.modules, modules):
        assert age_oauth.qgis._longest_wait() == 0
        thread = threading.Thread(target=lambda: waits.append(age_oauth.qgis._longest_wait()))
        thread.start()
        thread.join()
assert 0 < waits[1] < waits[0], waits
until(lambda: color(layers[0]) == expected)
until(lambda: roads(layers[1]) == 7)
done()
