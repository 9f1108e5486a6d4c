"""All tokens and the sign-in end while a GIS is at work: the first call says so, whatever Esri's code would make of it."""

import sys

from age_oauth import SignInRequired, get_gis

gis = get_gis("prod")
print("ready", flush=True)
sys.stdin.readline()
gis.users._me = None  # As if it had not been read yet.
for call in (
    lambda: gis.users.me,
    lambda: gis.content.folders.get(),
    lambda: list(gis.content.folders.list()),
    lambda: gis.content.search("anything"),
    lambda: gis.session.get(f"{gis.url}/sharing/rest/portals/self", params={"f": "json"}),
):
    try:
        print(call())
    except SignInRequired as error:
        assert error.hint, error
    else:
        raise AssertionError("a call went through, or was anonymous")
print("done")
