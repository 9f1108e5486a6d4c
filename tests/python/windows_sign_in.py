"""A portal behind Windows sign-in: Python sets the setting, the program answers, and so does `get_gis`."""

import sys

import age_oauth
from age_oauth import _gis

portal, ca, app = sys.argv[1:]


def raises(act, kind, *words):
    try:
        act()
    except kind as error:
        assert all(word in str(error) for word in words), error
        assert len(str(error).splitlines()) <= 2, error
        return
    raise AssertionError("nothing was raised")


def add(label, **settings):
    return age_oauth.add_connection(label, portal, app, auth_type="app", verify_ssl=ca, client_secret=secret, **settings)


secret = sys.stdin.readline().rstrip("\n")
raises(lambda: add("none"), age_oauth.PortalRefused, "requires its own sign-in (Negotiate)", 'web_tier="windows"')
prod = add("prod", web_tier="windows")
assert prod._facts["web_tier"] == "windows", prod._facts
assert prod.whoami()
assert age_oauth.get_gis(prod).url.startswith(portal)
prod.edit(web_tier="none", check=False)
assert prod._facts["web_tier"] == "none", prod._facts
raises(prod.whoami, age_oauth.PortalRefused, "requires its own sign-in (Negotiate)")
print("done")
