#!/usr/bin/env python3
"""Counts the functions in src, outside of tests: number, median, p90, p95, longest, and all over 60 lines.

    tests/tools/functions.py          all of src
    tests/tools/functions.py src/http these folders or files

Ends with 1 when the median is over 10 lines, p90 over 30, or any function over 80. A function counts from the line
with `fn` to its closing brace. Needs nothing but Python.
"""

import re
import sys
from pathlib import Path

MAX_MEDIAN, MAX_P90, MAX_LINES = 10, 30, 80
LISTED = 60

FUNCTION = re.compile(
    r"^\s*(?:pub(?:\([^)]*\))?\s+)?(?:const\s+)?(?:async\s+)?(?:unsafe\s+)?(?:extern\s+\"[^\"]*\"\s+)?fn\s+(\w+)"
)
CFG = re.compile(r"^\s*#\[cfg\((.*)\)\]\s*$")


def parts(predicate):
    """The arguments of `all(…)` or `any(…)`."""
    depth, found = 0, [""]
    for c in predicate[predicate.index("(") + 1 : predicate.rindex(")")]:
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            found.append("")
        else:
            found[-1] += c
    return [part.strip() for part in found if part.strip()]


def only_for_tests(predicate):
    """Whether what has this cfg predicate is compiled for tests alone."""
    if predicate.startswith("any("):
        return all(map(only_for_tests, parts(predicate)))
    if predicate.startswith("all("):
        return any(map(only_for_tests, parts(predicate)))
    return predicate in ("test", 'feature = "testing"')


def blanked(text):
    """The text with comments, strings and character literals replaced by blanks: what is left has its own braces only."""
    out, at, end = [], 0, len(text)
    token = re.compile(
        r"//[^\n]*|/\*.*?\*/|b?r(#*)\".*?\"\1|b?\"(?:\\.|[^\"\\])*\"|b?'(?:\\(?:u\{[^}]*\}|x..|.)|[^'\\\n])'",
        re.S,
    )
    while at < end:
        found = token.search(text, at)
        if not found:
            out.append(text[at:])
            break
        out.append(text[at : found.start()])
        out.append(re.sub(r"[^\n]", " ", found.group(0)))
        at = found.end()
    return "".join(out)


def closing(lines, first):
    """The line on which the block closes that opens at or after `first`; nothing for a declaration without a body."""
    depth, opened = 0, False
    for number in range(first, len(lines)):
        for c in lines[number]:
            if c == ";" and not opened and depth == 0:
                return None
            if c in "([":
                depth += 1
            elif c in ")]":
                depth -= 1
            elif c == "{":
                depth, opened = depth + 1, True
            elif c == "}":
                depth -= 1
                if opened and depth == 0:
                    return number
    return None


def functions(path):
    text = path.read_text(encoding="utf-8")
    source, lines = text.split("\n"), blanked(text).split("\n")
    number = 0
    while number < len(lines):
        cfg = CFG.match(source[number])
        if cfg and only_for_tests(cfg.group(1)):
            # The test module or item that the attribute is on.
            number = (closing(lines, number + 1) or number) + 1
            continue
        found = FUNCTION.match(lines[number])
        if found:
            last = closing(lines, number)
            if last is not None:
                yield last - number + 1, f"{path}:{number + 1} {found.group(1)}"
        number += 1


def is_test(path):
    return path.stem == "tests" or "tests" in path.parts or "testing" in path.parts


def main(arguments):
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__.strip())
        return 0
    paths = []
    for place in map(Path, arguments or ["src"]):
        paths += sorted(place.rglob("*.rs")) if place.is_dir() else [place]
    found = sorted(item for path in paths if not is_test(path) for item in functions(path))
    if not found:
        print("no functions found", file=sys.stderr)
        return 1
    lengths = [length for length, _ in found]
    at = lambda share: lengths[min(int(len(lengths) * share), len(lengths) - 1)]
    median, p90, p95, longest = at(0.5), at(0.9), at(0.95), lengths[-1]
    print(f"{len(lengths)} functions, median {median}, p90 {p90}, p95 {p95}, longest {longest} lines")
    for length, name in reversed(found):
        if length > LISTED:
            print(f"{length:4} {name}")
    return int(median > MAX_MEDIAN or p90 > MAX_P90 or longest > MAX_LINES)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
