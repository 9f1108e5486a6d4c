"""Fails if a dependency of the program needs a newer compiler than the rust-version of Cargo.toml."""

import json
import subprocess
import sys


def version(text):
    numbers = [int(part) for part in text.split(".")]
    return tuple(numbers + [0] * (3 - len(numbers)))


def shipped(metadata, root):
    """Ids of the packages that the program is built from, for every platform."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    seen, waiting = set(), [root]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        for dependency in nodes[current]["deps"]:
            if any(kind["kind"] in (None, "build") for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])
    return seen


def main():
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    root = metadata["resolve"]["root"]
    packages = {package["id"]: package for package in metadata["packages"]}
    promised = packages[root]["rust_version"]
    newer = [
        f"{packages[name]['name']} {packages[name]['version']} needs {packages[name]['rust_version']}"
        for name in shipped(metadata, root)
        if packages[name]["rust_version"] and version(packages[name]["rust_version"]) > version(promised)
    ]
    if newer:
        print(f"rust-version is {promised}, but:", *sorted(newer), sep="\n  ")
        return 1
    print(f"all dependencies declare that they build with {promised}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
