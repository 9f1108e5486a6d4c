"""Our package beside google-auth and azure-identity, in milliseconds: import, a cached token, a signed request.

    tests/bench/beside [CONNECTION]     a connection that is signed in; the default one without an argument

The others are measured with tokens that they keep in memory, without their services. `import` is one new process less one
that imports nothing. A signed request is prepared by `requests`, and not sent. All are measured in turn, because the
machine may be busy.
"""

import statistics
import subprocess
import sys
import time

#: How often each is imported, and how often the rest is called.
ROUNDS = 15
REPEATED = 1000


def milliseconds(do):
    start = time.perf_counter()
    do()
    return (time.perf_counter() - start) * 1000


def medians(calls, rounds):
    """Of calls that are made in turn, by name."""
    times = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(milliseconds(call))
    return {name: statistics.median(column) for name, column in times.items()}


def start(code):
    return lambda: subprocess.run([sys.executable, "-c", code], check=True)


def ours(label):
    import requests

    import age_oauth

    connection = age_oauth.Connection(label)
    auth = age_oauth.TokenAuth(connection)
    request = requests.Request("GET", f"{connection.portal_url}/sharing/rest/portals/self")
    return connection.token, lambda: auth(request.prepare())


def google():
    import datetime

    import requests
    from google.oauth2.credentials import Credentials

    soon = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) + datetime.timedelta(hours=1)
    credentials = Credentials("token", expiry=soon)
    request = requests.Request("GET", "https://storage.example.com/bucket")

    def sign():
        prepared = request.prepare()
        credentials.before_request(None, prepared.method, prepared.url, prepared.headers)

    return (lambda: credentials.valid and credentials.token), sign


def azure():
    import requests
    from azure.core.credentials import AccessTokenInfo
    from azure.core.pipeline import PipelineContext, PipelineRequest
    from azure.core.pipeline.policies import BearerTokenCredentialPolicy
    from azure.core.rest import HttpRequest
    from azure.identity import ClientSecretCredential

    class Cached(ClientSecretCredential):
        """With a token in the cache, as after the first request."""

        def _acquire_token_silently(self, *scopes, **options):
            return AccessTokenInfo("token", int(time.time()) + 3600)

    credential = Cached("11111111-1111-1111-1111-111111111111", "client", "secret")
    scope = "https://storage.example.com/.default"
    policy = BearerTokenCredentialPolicy(credential, scope)
    request = requests.Request("GET", "https://storage.example.com/bucket")

    def sign():
        request.prepare()
        policy.on_request(PipelineRequest(HttpRequest("GET", "https://storage.example.com/bucket"), PipelineContext(None)))

    return (lambda: credential.get_token(scope)), sign


def main():
    label = sys.argv[1] if len(sys.argv) > 1 else None
    imports = {
        "age_oauth": "import age_oauth",
        "google-auth": "import google.auth, google.oauth2.credentials",
        "azure-identity": "import azure.identity",
        "": "pass",
    }
    makers = {"age_oauth": lambda: ours(label), "google-auth": google, "azure-identity": azure}
    calls = {name: make() for name, make in makers.items()}
    imported = medians({name: start(code) for name, code in imports.items()}, ROUNDS)
    tokens = medians({name: token for name, (token, _) in calls.items()}, REPEATED)
    signed = medians({name: sign for name, (_, sign) in calls.items()}, REPEATED)
    print(f"{'milliseconds':16}{'import':>16}{'cached-token':>16}{'signed-request':>16}")
    for name in makers:
        print(f"{name:16}{imported[name] - imported['']:16.1f}{tokens[name]:16.4f}{signed[name]:16.4f}")


if __name__ == "__main__":
    main()
