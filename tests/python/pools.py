"""Pools of processes whose workers get a connection, an auth handler, a session, a GIS and a layer from their parent."""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

import requests

from age_oauth import Connection, ConnectionNotFound, TokenAuth

way, ca, layer_url = sys.argv[1:]
TASKS = 8


def ask(number, auth, url):
    """One request of a worker."""
    return requests.get(f"{url}/sharing/rest/community/self?f=json", auth=auth, verify=ca).json()["username"]


def ask_session(number, session, url):
    return session.get(f"{url}/sharing/rest/community/self?f=json").json()["username"]


def token(connection):
    return connection.token()


def count(layer):
    return layer.query(return_count_only=True), layer._gis.users.me.username


def with_layer():
    from arcgis.features import FeatureLayer

    from age_oauth import get_gis

    layer = FeatureLayer(layer_url, get_gis("prod"))
    assert layer.query(return_count_only=True) == 7
    return layer


def in_processes(context):
    prod = Connection("prod")
    auth = TokenAuth(prod)
    session = requests.Session()
    session.auth, session.verify = auth, ca
    # The parent has connections to the portal, which a forked worker must not use.
    assert ask_session(0, session, prod.portal_url)
    layer = with_layer()
    with context.Pool(2) as pool:
        tasks = [(number, session, prod.portal_url) for number in range(TASKS)]
        answers = pool.starmap_async(ask_session, tasks).get()
        assert set(pool.map_async(token, [prod] * TASKS).get()) == {prod.token()}
        assert pool.apply_async(count, (layer,)).get() == (7, answers[0])
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        answers += executor.map(ask, range(TASKS), [auth] * TASKS, [prod.portal_url] * TASKS)
        assert list(executor.map(count, [layer] * 2)) == [(7, answers[0])] * 2
    return answers


def in_joblib():
    from joblib import Parallel, delayed

    prod = Connection("prod")
    answers = Parallel(n_jobs=2)(delayed(ask)(number, TokenAuth(prod), prod.portal_url) for number in range(TASKS))
    layer = with_layer()
    assert Parallel(n_jobs=2)(delayed(count)(layer) for _ in range(2)) == [(7, answers[0])] * 2
    return answers


def in_dask():
    import dask

    prod = Connection("prod")
    layer = with_layer()
    tasks = [dask.delayed(ask)(number, TokenAuth(prod), prod.portal_url) for number in range(TASKS)]
    *answers, counted = dask.compute(*tasks, dask.delayed(count)(layer), scheduler="processes", num_workers=2)
    assert counted == (7, answers[0]), counted
    return answers


def removed():
    from age_oauth import _by_id

    gone = _by_id.restore(Connection, "gone_00000000")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        try:
            pool.apply_async(token, (gone,)).get()
        except ConnectionNotFound as error:
            assert "gone_00000000" in error.message and error.hint, error
        else:
            raise AssertionError("no error")


if __name__ == "__main__":
    if way == "removed":
        removed()
    else:
        answers = {"joblib": in_joblib, "dask": in_dask}.get(way, lambda: in_processes(multiprocessing.get_context(way)))()
        assert len(set(answers)) == 1 and answers[0], answers
    print("done")
