#!/usr/bin/env python3
"""Counts idioms that docs/CONTRIBUTING.md asks to avoid, and comments of more than 100 columns.

    tests/tools/idioms.py           prints the counts; ends with 1 where a limit is exceeded
    tests/tools/idioms.py --list    prints every line that counts, too
"""

import re
import sys
from pathlib import Path

# Part, and its limits: idioms, wide comments. A file belongs to the first part that has it.
PARTS = {
    ("src/cli", "src/migrate/command"): (0, 0),
    ("src",): (0, 0),
    ("docs", "README.md", "CHANGELOG.md"): (0, 0),
    ("tests", "Cargo.toml"): (1, 23),
}

# "There is no …", "is no longer" and "is no more than" are ordinary English.
IDIOMS = {
    "is no": r"(?<!\bthere )\bis no\b(?! (?:longer|more)\b)",
    "are no": r"(?<!\bthere )\bare no\b(?! (?:longer|more)\b)",
    "nobody": r"\bnobody\b",
    "somebody": r"\bsomebody\b",
    "whoever": r"\bwhoever\b",
    "shall": r"\bshall\b",
}
IDIOMS = {idiom: re.compile(pattern, re.I) for idiom, pattern in IDIOMS.items()}

# Names of things that do not exist, and lines that quote what not to write.
ALLOWED = re.compile(
    r"""["/]nobody\b|-c nobody\b|"somebody else's"|Subject: somebody\b"""
    r"""|\| `nobody is there to type a password` \||\| `x is no folder` \|"""
    r"""|\| `How shall the sign-in come back\?` \||"A lock that nobody holds\""""
)

MAX_COLUMNS = 100
COMMENTS = {".rs": "//", ".py": "#", ".sh": "#", ".toml": "#", "": "#"}
SUFFIXES = {*COMMENTS, ".md"}
# Data, what others wrote, and this list itself.
SKIPPED = {"corpus", "dictionaries", "node_modules", "__pycache__", "target", "tools"}


def files(place):
    path = Path(place)
    for one in [path] if path.is_file() else sorted(path.rglob("*")):
        if one.is_file() and one.suffix in SUFFIXES and not SKIPPED & set(one.parts):
            yield one


def idioms(line):
    line = ALLOWED.sub("", line)
    return [idiom for idiom, pattern in IDIOMS.items() for _ in pattern.findall(line)]


def is_wide_comment(path, line):
    """Whether the line is only a comment, and too long. Rows of tables cannot be wrapped."""
    mark = COMMENTS.get(path.suffix)
    text = line.lstrip()
    is_comment = mark is not None and text.startswith(mark)
    return is_comment and len(line) > MAX_COLUMNS and not text.startswith(("//! |", "/// |", "#!["))


def main(arguments):
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__.strip())
        return 0
    seen, exceeded = set(), False
    for places, limits in PARTS.items():
        counts, wide, lines = dict.fromkeys(IDIOMS, 0), 0, []
        for path in (path for place in places for path in files(place)):
            if path in seen:
                continue
            seen.add(path)
            text = path.read_text(encoding="utf-8", errors="replace")
            for number, line in enumerate(text.splitlines(), 1):
                found, is_wide = idioms(line), is_wide_comment(path, line)
                for idiom in found:
                    counts[idiom] += 1
                wide += is_wide
                if found or is_wide:
                    lines.append(f"  {path}:{number}: {line.strip()}")
        total = sum(counts.values())
        each = ", ".join(f"{idiom}: {count}" for idiom, count in counts.items() if count)
        name = ", ".join(places)
        print(f"{name}: {total} idioms of at most {limits[0]}{each and f' ({each})'};", end=" ")
        print(f"{wide} wide comments of at most {limits[1]}")
        too_many = total > limits[0] or wide > limits[1]
        exceeded |= too_many
        if lines and (too_many or "--list" in arguments):
            print("\n".join(lines))
    return int(exceeded)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
