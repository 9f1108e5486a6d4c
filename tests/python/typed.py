"""What a type checker concludes; this script is checked, not run."""

import httpx
import requests
from arcgis.gis import GIS
from typing_extensions import assert_type

import age_oauth

assert_type(age_oauth.get_gis("prod"), GIS)
assert_type(age_oauth.Connection("prod").get_gis(prompt_if_missing=False), GIS)
assert_type(age_oauth.Connection("prod").headers(), dict[str, str])
assert_type(age_oauth.get_gis(portal="https://h/portal", client_id="app", verify_ssl="ca.pem"), GIS)
assert_type(age_oauth.get_gis(portal="https://h/portal", api_url="https://h:7443/arcgis", client_cert="a.p12"), GIS)
assert_type(age_oauth.add_connection("prod", "https://h/portal", "app", verify_ssl=True), age_oauth.Connection)
assert_type(age_oauth.get_token(age_oauth.Connection("prod")), str)
with age_oauth.sign_in_pro(age_oauth.Connection("prod")) as pro:
    assert_type(pro.id, str)
assert_type(age_oauth.list_connections(), list[age_oauth.Connection])
assert_type(age_oauth.Connection("prod").session(), requests.Session)
assert_type(age_oauth.Connection("prod").httpx_client(timeout=5), httpx.Client)
assert_type(age_oauth.Connection("prod").httpx_async_client(), httpx.AsyncClient)
assert_type(age_oauth.HttpxTokenAuth("prod"), age_oauth.HttpxTokenAuth)
assert_type(age_oauth.Connection("prod").username, "str | None")
