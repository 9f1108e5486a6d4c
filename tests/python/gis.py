"""A GIS that is signed in, and a search."""

import sys

from age_oauth import Connection, get_gis

gis = get_gis("prod")
assert gis.users.me.username == sys.argv[1]
assert gis.properties.user.username == sys.argv[1]
gis.content.search("anything")
assert gis.session.auth.token == Connection("prod").token()
print("done")
