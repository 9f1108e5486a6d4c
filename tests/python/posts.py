"""Sends two forms, and nothing before, through a web server that asks for Windows sign-in."""

import sys

import age_oauth

label, username = sys.argv[1:]
prod = age_oauth.Connection(label)
for session in (prod.session(), prod.session()):
    response = session.post(f"{prod.api_url}/sharing/rest/community/self", data={"f": "json"})
    assert response.json()["username"] == username, response.text
print("done")
