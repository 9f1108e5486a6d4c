"""What QGIS's ArcGIS code requests for the layers of a stranger's project: only services, and the content of the portal, are signed."""

import sys

from qgis_support import LONG, done, feature_layer, get, map_layer, named, trust_everywhere, until
from qgis.core import QgsNetworkAccessManager

import age_oauth.qgis

authority, portal, server, land = sys.argv[1:]
trust_everywhere(authority)
age_oauth.qgis.enable("prod")
signer = age_oauth.qgis._hook.signer
until(lambda: signer.answer(land, LONG).token and signer.answer(f"{portal}/sharing/rest/portals/self", LONG).token)


def is_signed(url):
    reply = QgsNetworkAccessManager.instance().get(named(f"{url}?f=json", "QgsArcGisRestUtils"))
    until(reply.isFinished)
    return reply.request().hasRawHeader(b"X-Esri-Authorization")


for url in (f"{portal}/sharing/rest/portals/self", f"{portal}/sharing/rest/community/self", f"{server}/rest/services", f"{land}/0"):
    assert is_signed(url), url
for url in (
    f"{portal}/portaladmin/federation/servers",
    f"{portal}/sharing/rest/content/users/ana/items/0a1b2c3d/delete",
    f"{portal}/sharing/rest/content/items/0a1b2c3d/share",
    f"{portal}/sharing/rest/portals/self/update",
    f"{server}/admin/services/Land.MapServer/stop",
    f"{server}/rest/admin/services/Land/MapServer",
    f"{server}/tokens/generateToken",
    f"{server}/rest/services/Tools/GPServer/Buffer/submitJob",
    f"{land}/createReplica",
):
    assert not is_signed(url), url
    # As the layers of a project.
    assert not feature_layer(url).isValid()
    map_layer(url)
    get(f"{url}?f=json", "QgsArcGisRestUtils")
done()
