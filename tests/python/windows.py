"""The package in Python for Windows: windows.py PART CA ROOT."""

import copy
import multiprocessing
import os
import pickle
import sys

import requests

import age_oauth
from age_oauth import _program

part, ca, root = sys.argv[1:] if len(sys.argv) == 4 else ("", "", "")


def app_id(auth, portal):
    answer = requests.get(f"{portal}/sharing/rest/portals/self?f=json", auth=auth, verify=ca, timeout=60)
    return answer.json()["appInfo"]["appId"]


def worker(auth, portal, bundle):
    global ca
    ca = bundle
    return app_id(auth, portal)


def check_request():
    """Import, list, token, one request; the program beside ``python.exe`` in ``Scripts``."""
    assert os.path.normcase(_program.find()) == os.path.normcase(os.path.join(root, "Scripts", "age-oauth.exe")), _program.find()
    (listed,) = age_oauth.list_connections()
    prod = age_oauth.Connection("prod")
    assert (listed.id, listed.label, listed.auth_type) == (prod.id, "prod", "app")
    assert prod.token() == prod.token() == age_oauth.get_token("prod")
    assert app_id(age_oauth.TokenAuth(prod), prod.portal_url)
    try:
        age_oauth.Connection("nothing")
    except age_oauth.ConnectionNotFound as error:
        assert error.hint, error
    else:
        raise AssertionError("a connection that does not exist")


def check_pools():
    prod = age_oauth.Connection("prod")
    auth = age_oauth.TokenAuth(prod)
    expected = app_id(auth, prod.portal_url)
    token = prod.token()
    for one in (prod, auth):
        content = pickle.dumps(one)
        assert token.encode() not in content and prod.id.encode() in content
        copied = copy.deepcopy(pickle.loads(content))
        assert type(copied) is type(one)
    session = requests.Session()
    session.auth = auth
    assert token.encode() not in pickle.dumps(session)
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        answers = pool.starmap_async(worker, [(auth, prod.portal_url, ca)] * 8).get()
    assert answers == [expected] * 8, answers


def check_user():
    """Installed by ``pip install --user``, as pip does by itself where the environment is read-only."""
    base = os.path.normcase(os.environ["PYTHONUSERBASE"])
    for path in (age_oauth.__file__, _program.find()):
        assert os.path.normcase(path).startswith(base), path
    assert age_oauth.Connection("prod").token()


def check_pro():
    assert os.path.basename(sys.executable) == "ArcGISPro.exe", sys.executable
    assert os.path.normcase(_program.find()) == os.path.normcase(os.path.join(root, "Scripts", "age-oauth.exe")), _program.find()
    prod = age_oauth.Connection("prod")
    assert app_id(age_oauth.TokenAuth(prod), prod.portal_url)
    try:
        age_oauth.sign_in_pro("prod")
    except age_oauth.AgeOAuthError as error:
        assert "arcpy" in error.message and "ArcGISPro.exe" not in str(error), error
    else:
        raise AssertionError("signed in without arcpy")


if __name__ == "__main__":
    globals()[f"check_{part}"]()
    print("done")
