"""Drawings are canceled while their requests are under way, at a server that answers nothing."""

import sys
from unittest import mock

from qgis_support import done, drawing, feature_layer, roads, until

import age_oauth.qgis

address = sys.argv[1]
age_oauth.qgis.enable("prod")
layer = feature_layer(address)
assert roads(layer) == 7
print("ready", flush=True)
sys.stdin.readline()
sent, watch = [], age_oauth.qgis._Hook.watch


def watched(hook, reply):
    watch(hook, reply)
    sent.append(reply.url())


with mock.patch.object(age_oauth.qgis._Hook, "watch", watched):
    # Without help, QGIS waits for ever after some of them.
    for number in range(40):
        layer.dataProvider().reloadData()
        sent.clear()
        job = drawing(layer, number % 4)
        job.start()
        until(lambda: sent)
        job.cancelWithoutBlocking()
        until(lambda: not job.isActive())
done()
