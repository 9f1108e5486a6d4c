"""Creates the stores beside this file with the Python package itself:

    for version in 0.1.7 0.2.1; do
        python3 -m venv /tmp/age-$version
        /tmp/age-$version/bin/pip install age-oauth==$version
        /tmp/age-$version/bin/python make.py $version
    done

The clock is fixed and the responses of the portal are invented, so that the files are the same each time. Tests replace the
URL, tokens and certificates by those of the practice portal.
"""

import datetime
import pathlib
import shutil
import sys
import tempfile
import time

import requests

version = sys.argv[1]
target = pathlib.Path(__file__).parent / version
shutil.rmtree(target, ignore_errors=True)

PORTAL = "https://gis.example.com/portal"
CA = pathlib.Path(tempfile.gettempdir()) / "age-oauth practice" / "ca.pem"
CA.parent.mkdir(exist_ok=True)
CA.touch()
NOW = 1790000000.25

time.time = lambda: NOW

import age_oauth.cli  # noqa: E402
import age_oauth.connections as connections  # noqa: E402
import age_oauth.oauth as oauth  # noqa: E402

connections._utc_now_iso = lambda: datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).isoformat()
connections.user_config_dir = lambda name: str(target)


class Answer:
    ok = True

    def __init__(self, body):
        self.body = body

    def json(self):
        return self.body


def cli(*words):
    assert age_oauth.cli.main(list(words)) == 0, words


def add(label, *words, portal=PORTAL, client_id="AgePracticeApp01", secret="practice-client-secret"):
    cli("connections", "add", "--label", label, "--portal", portal, "--client-id", client_id, "--client-secret", secret, *words)


def session(label):
    store = connections.ConnectionStore()
    cid = store.resolve(connection=label)
    env = oauth.parse_env_file(store.env_path(cid))
    config = oauth.OAuthConfig(env["PORTAL_URL"], env["OAUTH_CLIENT_ID"], env["OAUTH_CLIENT_SECRET"], str(store.env_path(cid)))
    store.touch(cid)
    return oauth.AGEOAuth(config)


def sign_in(label, **answer):
    requests.post = lambda *_, **__: Answer({"access_token": f"ACCESS-TOKEN-OF-{label.upper()}", "expires_in": 1800, **answer})
    auth = session(label)
    if answer:
        auth._exchange_code_for_tokens("a code")
    else:
        auth._request_client_credentials_token()


user = ["--auth-type", "user"] if version >= "0.2" else []
add("Prod", "--verify-ssl", str(CA), *user)
add("My Portal", "--verify-ssl", "false", *user)
if version >= "0.2":
    add("Online", "--verify-ssl", "true", *user, portal="https://www.arcgis.com/")
    app = ["--auth-type", "app", "--referer", "https://nightly.example.com"]
    add("Nightly", "--verify-ssl", str(CA), *app, client_id="AgePracticeApp02", secret="practice-service-secret")
    sign_in("Nightly")
sign_in("Prod", refresh_token="REFRESH-TOKEN-OF-PROD", username="your.username")
# `connections use` of 0.1.7 fails; this is what it would do.
store = connections.ConnectionStore()
store.set_active(store.resolve(connection="Prod"))
