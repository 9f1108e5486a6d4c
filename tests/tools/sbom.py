"""Writes the list of crates (CycloneDX) that maturin puts into a wheel beside the wheel: python3 tests/tools/sbom.py WHEEL

Fails if a crate that is built is not in the list.
"""

import json
import pathlib
import subprocess
import sys
import zipfile

wheel = pathlib.Path(sys.argv[1])
with zipfile.ZipFile(wheel) as archive:
    [name] = [one for one in archive.namelist() if one.endswith(".cyclonedx.json")]
    text = archive.read(name).decode()
# Remove the path of the build folder.
text = text.replace(pathlib.Path.cwd().as_uri().removeprefix("file://"), "/age-oauth")
listed = {(one["name"], one["version"]) for one in json.loads(text)["components"]}

tree = ["cargo", "tree", "--locked", "--target", "all", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"]
lines = subprocess.run(tree, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout.splitlines()
built = {tuple(line.split()[:2]) for line in lines if line}
built = {(name, version.removeprefix("v")) for name, version in built if name != "age-oauth"}
missing = sorted(built - listed)
if missing:
    sys.exit(f"the list of crates in {wheel.name} does not contain {missing}")
path = wheel.with_name(name.rsplit("/", 1)[1])
path.write_text(text, encoding="utf-8")
print(f"{path}: {len(listed)} crates")
