"""A sign-in dies while a job is at work."""

import sys

import requests

from age_oauth import SignInRequired, TokenAuth, get_gis


def behind(error):
    while error is not None:
        if isinstance(error, SignInRequired):
            return error
        error = error.__cause__ or error.__context__
    return None


gis = get_gis("prod")
assert len(gis.content.search("anything")) == 2
prod = gis.session.auth.connection
session = requests.Session()
session.auth = TokenAuth(prod)
session.verify = prod.meta.ca_bundle
address = f"{prod.portal_url}/sharing/rest/community/self?f=json"
assert session.get(address).json()["username"]
print("ready", flush=True)
sys.stdin.readline()

try:
    print(gis.content.search("anything"))
except Exception as error:  # arcgis wraps what its handlers raise.
    ours = behind(error)
    assert ours is not None and "age-oauth login" in str(ours), error
    assert "age-oauth login" in str(error), error
else:
    raise AssertionError("an anonymous search went through")
try:
    session.get(address)
except SignInRequired as error:
    assert error.code == 3 and "age-oauth login" in error.hint
else:
    raise AssertionError("an anonymous request went through")
print("done")
