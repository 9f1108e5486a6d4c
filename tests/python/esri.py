"""No way by which Esri's code gets at a token leads to one, and what it sends to a foreign host carries none."""

import logging
import pathlib
import re
import ssl
import sys
import urllib.request

import arcgis
from arcgis.features import FeatureLayer

from age_oauth import Connection, get_gis

foreign, server = sys.argv[1:]
prod = Connection("prod")
token = prod.token()
logged = []
logging.basicConfig(level=logging.DEBUG, handlers=[type("L", (logging.Handler,), {"emit": lambda s, r: logged.append(r.getMessage())})()])
gis = get_gis("prod")
placeholder = gis._con.token
assert placeholder and placeholder != token

# Every attribute that Esri's sources read in search of a token, on this very GIS.
root = pathlib.Path(arcgis.__file__).parent
reads = re.compile(r"(_con|\bcon|session\.auth|_session\.auth)\.(\w*(?:token|key)\w*)\b(?!\()", re.IGNORECASE)
sites = [found for path in root.rglob("*.py") for found in reads.findall(path.read_text(encoding="utf-8", errors="replace"))]
assert len(sites) > 140, len(sites)
for holder, name in sorted(set(sites)):
    value = getattr(gis.session.auth if "auth" in holder else gis._con, name, None)
    assert token not in str(value), (holder, name)

# A layer at a foreign host, by calls that add the token themselves.
layer = FeatureLayer(f"{foreign}/arcgis/rest/services/A/FeatureServer/0", gis)
for call in (
    lambda: gis._con.post(f"{foreign}/arcgis/rest/x", {"f": "json", "token": placeholder}),
    lambda: gis._con.get(f"{foreign}/arcgis/rest/x", {"f": "json", "token": placeholder}),
    lambda: gis.session.post(f"{foreign}/x", files={"a": ("a.txt", b"1")}, data={"token": placeholder}),
    lambda: gis.session.get(f"{foreign}/x", headers={"authorization": f"token={placeholder}"}),
    lambda: layer.query(),
    lambda: layer.append(item_id="x", upload_format="csv"),
    lambda: layer.attachments.search(),
):
    try:
        call()
    except Exception:  # The foreign host answers nothing useful.
        pass
# At the portal and at its server, what Esri's code sends by parameters is signed, with or without
# the handler.
address = f"{gis.url}/sharing/rest/community/self"
handler, gis.session.auth = gis.session.auth, None
for answer in (
    gis.session.get(address, params={"f": "json", "token": placeholder}),
    gis.session.post(address, data={"f": "json", "token": placeholder}),
):
    assert answer.json().get("username") == "your.username", answer.text
    assert placeholder in str(answer.request.url) + str(answer.request.body) and token not in str(answer.url)
assert "error" not in gis.session.get(f"{server}/rest/services", params={"f": "json", "token": placeholder}).json()
gis.session.auth = handler
# What leaves by another way carries nothing valid.
context = ssl.create_default_context(cafile=prod.meta.ca_bundle)
form = f"f=json&token={placeholder}".encode()
with urllib.request.urlopen(address, form, context=context) as answer:
    assert b"your.username" not in answer.read()
assert logged and not any(token in line for line in logged)
print("done")
