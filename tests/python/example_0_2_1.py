"""What the README of version 0.2.1 shows, with its names."""

from age_oauth import Connection, list_connections

portal_conn = Connection(connection="connection label")
gis = portal_conn.get_gis()

portal_conns = list_connections()
print(portal_conns)

my_conns = {
    conn.label: conn.get_gis()
    for conn in list_connections()
}

user_conn = my_conns["some user"]
app_conn = my_conns["some application"]
