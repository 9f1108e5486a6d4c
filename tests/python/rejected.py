"""Four threads whose token the portal forgets at the same time."""

import sys
import threading

from age_oauth import get_gis

gis = get_gis("prod")
address = f"{gis.url}/sharing/rest/portals/self"
assert gis.session.get(address, params={"f": "json"}).json()[sys.argv[1]]
print("ready", flush=True)
sys.stdin.readline()

together = threading.Barrier(4)
answers = []


def work():
    together.wait()
    answers.append(gis.session.get(address, params={"f": "json"}).json())


threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(answers) == 4 and all(answer.get(sys.argv[1]) for answer in answers), answers
print("done")
