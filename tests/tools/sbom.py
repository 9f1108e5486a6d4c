"""Writes the list of crates (CycloneDX) that maturin puts into a wheel beside the wheel: python3 tests/tools/sbom.py WHEEL [TARGET]

Fails if a crate that is built, for TARGET or for any system, is not in the list. Also takes the path of the build folder out
of the list in the wheel, so that the same sources make the same wheel wherever they are built.
"""

import base64
import hashlib
import json
import pathlib
import subprocess
import sys
import zipfile

wheel, target = pathlib.Path(sys.argv[1]), (sys.argv[2:] or ["all"])[0]
with zipfile.ZipFile(wheel) as archive:
    entries = {entry: archive.read(entry) for entry in archive.infolist()}
[sbom] = [entry for entry in entries if entry.filename.endswith(".cyclonedx.json")]
[record] = [entry for entry in entries if entry.filename.endswith(".dist-info/RECORD")]
name, before = sbom.filename, entries[sbom]
# Remove the path of the build folder.
text = before.decode().replace(pathlib.Path.cwd().as_uri().removeprefix("file://"), "/age-oauth")


def listed_as(data):
    """The line of RECORD."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(data)}\n".encode()


if listed_as(before) not in entries[record]:
    sys.exit(f"{wheel.name}: RECORD does not contain the list of crates")
entries[record] = entries[record].replace(listed_as(before), listed_as(text.encode()))
entries[sbom] = text.encode()
with zipfile.ZipFile(wheel, "w") as archive:
    for entry, data in entries.items():
        archive.writestr(entry, data, zipfile.ZIP_DEFLATED, 9)

listed = {(one["name"], one["version"]) for one in json.loads(text)["components"]}

tree = ["cargo", "tree", "--locked", "--target", target, "--edges", "normal,build", "--prefix", "none", "--format", "{p}"]
lines = subprocess.run(tree, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout.splitlines()
built = {tuple(line.split()[:2]) for line in lines if line}
built = {(name, version.removeprefix("v")) for name, version in built if name != "age-oauth"}
missing = sorted(built - listed)
if missing:
    sys.exit(f"the list of crates in {wheel.name} does not contain {missing}")
path = wheel.with_name(name.rsplit("/", 1)[1])
path.write_text(text, encoding="utf-8")
print(f"{path}: {len(listed)} crates")
