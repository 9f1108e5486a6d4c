"""Enabled and disabled twenty times: one hook while it is enabled, none afterwards."""

import sys
from unittest import mock

from qgis_support import done, opens, trust_everywhere

import age_oauth.qgis

authority, layer = sys.argv[1:]
trust_everywhere(authority)
calls = []
before, after = age_oauth.qgis._before, age_oauth.qgis._after


def counted(request):
    calls.append("before")
    before(request)


def counted_reply(request, reply):
    calls.append("after")
    after(request, reply)


def asked():
    calls.clear()
    return opens(layer), calls.count("before"), calls.count("after")


with mock.patch.object(age_oauth.qgis, "_before", counted), mock.patch.object(age_oauth.qgis, "_after", counted_reply):
    for _ in range(20):
        age_oauth.qgis.enable("prod")
        age_oauth.qgis.enable("prod")
        assert asked() == (True, 1, 1), calls
        age_oauth.qgis.disable()
        age_oauth.qgis.disable()
        assert asked() == (False, 0, 0), calls
done()
