"""A portal whose own address only browsers get through: every request goes to its API URL, also those of Esri's package."""

import sys

import requests

import age_oauth

portal, api, ca, user_app, username = sys.argv[1:]
prod = age_oauth.Connection("prod")
assert (prod.portal_url, prod.api_url) == (portal, api), prod
session = requests.Session()
session.auth, session.verify = age_oauth.TokenAuth(prod), ca
rest = f"{prod.api_url}/sharing/rest"
assert session.get(f"{rest}/community/self", params={"f": "json"}).json()["username"] == username
# Both addresses are the portal's; another path of the same host is not.
assert prod.token(url=portal) == prod.token(url=rest) == prod.token()
try:
    prod.token(url=api.replace("/arcgis", "/other"))
except age_oauth.PortalRefused:
    pass
else:
    raise AssertionError("a token for another path")
gis = age_oauth.get_gis("prod")
assert gis.users.me.username == username
assert gis.url.startswith(api), gis.url

second = age_oauth.add_connection("second", portal, user_app, api_url=api, verify_ssl=ca)
assert (second.portal_url, second.api_url) == (portal, api), second
second.edit(api_url="none", check=False)
assert second.api_url == second.portal_url == portal
second.edit(api_url=api)
assert second.api_url == api
# The guard is named with the argument that helps.
try:
    age_oauth.add_connection("third", portal, user_app, verify_ssl=ca)
except age_oauth.PortalRefused as error:
    assert 'api_url="URL"' in str(error), error
else:
    raise AssertionError("the guard let a program through")
# `get_gis` takes it for a new connection.
new = {"portal": portal, "client_id": user_app, "verify_ssl": ca, "api_url": api}
try:
    age_oauth.get_gis("fourth", prompt_if_missing=False, **new)
except age_oauth.SignInRequired:
    assert age_oauth.Connection("fourth").api_url == api
else:
    raise AssertionError("signed in")
print("done")
