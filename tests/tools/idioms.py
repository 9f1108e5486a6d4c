#!/usr/bin/env python3
"""Counts idioms that docs/CONTRIBUTING.md asks to avoid, one line per folder.

    tests/tools/idioms.py           prints the counts
    tests/tools/idioms.py --list    prints every line that has one, too
    tests/tools/idioms.py --max N   ends with 1 where src, docs and README.md have more than N together
"""

import re
import sys
from pathlib import Path

IDIOMS = ["is no", "are no", "nobody", "somebody", "whoever", "shall"]
# "There is no …" and "is no longer" are ordinary English.
PATTERNS = {
    "is no": r"(?<!there )\bis no\b(?! (?:longer|more)\b)",
    "are no": r"(?<!there )\bare no\b(?! (?:longer|more)\b)",
}
FOLDERS = ["src", "docs", "README.md", "tests"]
COUNTED = ["src", "docs", "README.md"]
SUFFIXES = {".rs", ".py", ".md", ".sh", ".toml", ""}
# Data, and this list itself.
SKIPPED = {"corpus", "dictionaries", "node_modules", "__pycache__", "tools"}


def files(place):
    path = Path(place)
    for one in [path] if path.is_file() else sorted(path.rglob("*")):
        if one.is_file() and one.suffix in SUFFIXES and not SKIPPED & set(one.parts):
            yield one


def main(arguments):
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__.strip())
        return 0
    patterns = {idiom: re.compile(PATTERNS.get(idiom, rf"\b{idiom}\b"), re.I) for idiom in IDIOMS}
    lines, counted = [], 0
    for folder in FOLDERS:
        counts = dict.fromkeys(IDIOMS, 0)
        for path in files(folder):
            text = path.read_text(encoding="utf-8", errors="replace")
            for number, line in enumerate(text.splitlines(), 1):
                for idiom, pattern in patterns.items():
                    hits = len(pattern.findall(line))
                    counts[idiom] += hits
                    if hits:
                        lines.append(f"{path}:{number}: {line.strip()}")
        total = sum(counts.values())
        counted += total if folder in COUNTED else 0
        print(f"{folder:10} {total:4}  " + ", ".join(f"{idiom}: {n}" for idiom, n in counts.items()))
    if "--list" in arguments:
        print("\n".join(lines))
    if "--max" in arguments:
        return int(counted > int(arguments[arguments.index("--max") + 1]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
