"""A GIS that is signed in, and a search."""

import sys

from age_oauth import Connection, get_gis

gis = get_gis("prod")
assert gis.users.me.username == sys.argv[1]
assert gis.properties.user.username == sys.argv[1]
assert len(gis.content.search("anything")) == 2
assert gis.session.auth.connection.label == "prod"
# What Esri's code puts into addresses by itself is worth nothing elsewhere.
assert gis._con.token == gis.session.auth.token != Connection("prod").token()
print("done")
