"""Four threads work longer than a token lives, with requests that need a valid token."""

import threading
import time

from age_oauth import Connection

gis = Connection("prod").get_gis()
failed = []
end = time.monotonic() + 10


def work():
    try:
        while time.monotonic() < end:
            answer = gis.session.get(f"{gis.url}/sharing/rest/portals/self", params={"f": "json"}).json()
            assert answer["user"]["username"] == "your.username", answer
            time.sleep(0.05)
    except BaseException as error:
        failed.append(error)


threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failed, failed
print("done")
