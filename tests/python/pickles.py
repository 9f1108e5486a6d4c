"""Writes pickles of everything that can be signed in into a folder, and uses what is read back from them."""

import copy
import pathlib
import pickle
import subprocess
import sys

import cloudpickle
import httpx
import requests
from arcgis.features import FeatureLayer, FeatureLayerCollection

from age_oauth import Connection, HttpxTokenAuth, TokenAuth, _by_id, _gis_by_id, _program, get_gis

ca, layer_url, folder = sys.argv[1:]
prod = Connection("prod")
gis = get_gis("prod")
session = requests.Session()
session.auth = TokenAuth(prod)
session.verify = ca
layer = FeatureLayer(layer_url, gis)
service = FeatureLayerCollection(layer_url.rpartition("/")[0], gis)
# Everything is in use before it is pickled, so that each object holds what it ever holds.
address = f"{prod.portal_url}/sharing/rest/community/self?f=json"
names = [feature.attributes["NAME"] for feature in layer.query().features]
assert len(names) == 7, names
assert [one.properties.name for one in service.layers] == ["Roads"]
user = session.get(address).json()["username"]
item = gis.content.search("map")[0]


def is_signed_in(one):
    return one.get(address).json()["username"] == user


def with_requests(auth):
    return requests.get(address, auth=auth, verify=ca).json()["username"] == user


def with_httpx(auth):
    return httpx.get(address, auth=auth, verify=ca).json()["username"] == user


def has_failed(one):
    return isinstance(one, requests.exceptions.ProxyError) and one.request.url.startswith(prod.portal_url)


def fails(act):
    try:
        act(proxies={"https": "http://127.0.0.1:1"})
    except requests.exceptions.ProxyError as error:
        return error
    raise AssertionError("there is a proxy")


def answers(one):
    return one.json()["username"] == user


response = session.get(address)
#: Each object, and what it must be able to do afterwards.
objects = {
    "connection": (prod, lambda one: one == prod or (one.id == prod.id and one.token() == prod.token())),
    "token_auth": (session.auth, with_requests),
    "httpx_token_auth": (HttpxTokenAuth(prod), with_httpx),
    "requests_session": (session, is_signed_in),
    "gis": (gis, lambda one: one.users.me.username == user),
    "gis_session": (gis.session, is_signed_in),
    "gis_auth": (gis.session.auth, with_requests),
    "layer": (layer, lambda one: [each.attributes["NAME"] for each in one.query().features] == names),
    "service": (service, lambda one: one.layers[0].query(return_count_only=True) == 7),
    "item": (item, lambda one: (one.title, one.itemid, one._gis.users.me.username) == (item.title, item.itemid, user)),
    "response": (response, answers),
    "gis_response": (gis.session.get(address), answers),
    "placeholder_response": (gis.session.get(address, params={"token": gis._con.token}), answers),
    "httpx_response": (httpx.get(address, auth=HttpxTokenAuth(prod), verify=ca), answers),
    "request": (response.request, lambda one: (one.method, one.url) == ("GET", address)),
    "error": (fails(lambda **options: session.get(address, **options)), has_failed),
    "gis_error": (
        fails(lambda **options: gis.session.post(address, data={"token": gis._con.token}, **options)), has_failed
    ),
    "user": (gis.users.me, lambda one: one.username == user),
}
written = []
for name, (one, works) in objects.items():
    for module, protocol in [(pickle, 2), (pickle, 3), (pickle, 4), (pickle, 5), (cloudpickle, 5)]:
        content = module.dumps(one, protocol)
        pathlib.Path(folder, f"{name}-{module.__name__}-{protocol}").write_bytes(content)
        written.append((name, content, works))
    for copied in (copy.copy(one), copy.deepcopy(one)):
        assert works(copied), f"a copy of {name}"
assert copy.copy(gis) is gis
# What is unpickled is not signed, and looks at no response.
assert not any(b"_Look" in content for _, content, _ in written)
# A copied request is still signed, and its rejection is noticed.
assert answers(session.send(copy.deepcopy(response.request)))
read = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).json()['username'])"
for name in ("response", "gis_response", "placeholder_response", "httpx_response"):
    file = str(pathlib.Path(folder, f"{name}-pickle-5"))
    said = subprocess.run([sys.executable, "-c", read, file], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert said.strip() == user, said

# As in another process, where nothing of this is known yet.
_by_id._forget()
starts = []
start = _program.start
_program.start = lambda *words, **options: starts.append(words) or start(*words, **options)
read = [(name, pickle.loads(content), works) for name, content, works in written]
assert not starts, starts
for name, one, works in read:
    assert works(one), f"a pickle of {name}"
    assert pickle.loads(pickle.dumps(one)) is not None
assert isinstance(read[-1][1], type(gis.users.me))
# One for the connection's settings, one for its token, one for that of the server.
assert len(starts) <= 3, starts
assert {key for key in _gis_by_id._restored} >= {(prod.id, "gis"), (prod.id, "made")}
print("done")
