"""What a connection trusts goes with requests to the portal and its servers; what is pinned, to the portal alone."""

import logging
import shutil
import sys
from unittest import mock

from qgis_support import LONG, done, named, until
from qgis.PyQt.QtNetwork import QSslCertificate

import age_oauth.qgis

authority, portal, server = sys.argv[1:]
told = []
logging.getLogger("age_oauth").addHandler(type("Told", (logging.Handler,), {"emit": lambda self, one: told.append(one.getMessage())})())
age_oauth.qgis.enable("prod")
hook = age_oauth.qgis._hook
until(lambda: hook.signer.answer(portal, LONG).token and hook.signer.answer(server, LONG).token)
own = QSslCertificate.fromPath(authority)
assert own


def signed(url):
    request = named(f"{url}?f=json", "QgsArcGisRestUtils")
    age_oauth.qgis._before(request)
    return request


def trusted(url):
    request = signed(url)
    assert request.hasRawHeader(b"X-Esri-Authorization")
    return request.sslConfiguration().caCertificates()


def trusting(path):
    hook._tls.clear()
    return mock.patch.object(age_oauth.qgis, "trust", return_value=(True, path))


assert own[0] in trusted(portal) and own[0] in trusted(server)
shutil.copy(authority, "pinned.pem")
with trusting("pinned.pem"):
    assert trusted(portal) == own
    assert own[0] not in trusted(server)
with trusting("missing.pem"):
    told.clear()
    for _ in range(3):
        assert not signed(portal).hasRawHeader(b"X-Esri-Authorization")
    assert len(told) == 1 and "`prod`" in told[0] and "missing.pem" in told[0], told
hook._tls.clear()
assert own[0] in trusted(portal)
done()
