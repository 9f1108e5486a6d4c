"""The site of the documentation: what mdBook gets, and that the check of what it makes (tests/tools/site.py) finds what it looks for."""

import contextlib
import importlib.machinery
import importlib.util
import io
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / "tests/tools/site.py"
BUILD = ROOT / ".ci/packaging/site/build"
GOOD = {
    "toc.html": '<a href="index.html">Introduction</a> <a href="docs/a%20b.html">Two</a>',
    "index.html": '<link rel="stylesheet" href="site.css"><h1 id="top">One</h1>'
    '<a href="docs/a%20b.html#part-2">Two</a> <a href="#top">up</a> <a href="https://example.com/x">elsewhere</a>',
    "docs/a b.html": '<h2 id="part-2">Two</h2><a href="../index.html#top">One</a>'
    '<img src="images/one.svg" alt="One"> <img src="data:image/png;base64,AA==" alt="Two"> <a href="policy.json">a file</a>',
    "docs/images/one.svg": '<svg xmlns="http://www.w3.org/2000/svg"><style>text { fill: red }</style></svg>',
    "docs/policy.json": "{}",
    "site.css": "body { background: url('docs/images/one.svg') }",
    "searchindex-0123abcd.js": "",
}


def load(path):
    """A program as a module."""
    loader = importlib.machinery.SourceFileLoader("site_program", str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("site_program", loader))
    loader.exec_module(module)
    return module


class SiteTest(unittest.TestCase):
    def problems(self, **changes):
        """What is said about the good site with other files; None removes one."""
        files = {**GOOD, **changes.pop("files", {})}
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                if text is not None:
                    path = Path(folder, name)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(text, "utf-8")
            said = io.StringIO()
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
                code = load(SOURCE).main([folder])
        lines = said.getvalue().splitlines()
        self.assertEqual(code, int(bool(lines)), lines)
        return lines

    def assert_one(self, name, text, words):
        [line] = self.problems(files={name: text})
        self.assertIn(words, line)

    def test_a_good_site(self):
        self.assertEqual(self.problems(), [])

    def test_links(self):
        page = GOOD["index.html"]
        for link, words in (
            ("missing.html", "index.html: missing.html leads to missing.html"),
            ("../outside.html", "leads to ../outside.html"),
            ("/index.html", "leads to /index.html"),
            ("docs/A%20b.html", "leads to docs/A b.html"),
            ("docs", "leads to docs,"),
            ("#missing", "index.html has no anchor missing"),
            ("docs/a%20b.html#part-3", "docs/a b.html has no anchor part-3"),
            ("docs/policy.json#part-2", "docs/policy.json has no anchor part-2"),
            ("file:///etc/passwd", "neither a page nor an address"),
        ):
            self.assert_one("index.html", f'{page}<a href="{link}">x</a>', words)

    def test_what_a_page_loads(self):
        page = GOOD["index.html"]
        for added, words in (
            ('<script src="https://cdn.example.com/x.js"></script>', "https://cdn.example.com/x.js is loaded from elsewhere"),
            ('<img src="//cdn.example.com/x.png" alt="x">', "is loaded from elsewhere"),
            ('<link rel="stylesheet" href="http://fonts.example.com/css">', "is loaded from elsewhere"),
            ('<iframe src="https://example.com/"></iframe>', "is loaded from elsewhere"),
            ('<img alt="x" srcset="site.css 1x, https://example.com/x.png 2x">', "https://example.com/x.png is loaded from elsewhere"),
            ('<p style="background: url(https://example.com/x.png)">', "is loaded from elsewhere"),
            ("<style>@import 'https://example.com/x.css';</style>", "is loaded from elsewhere"),
            ('<img src="missing.png" alt="x">', "missing.png is not in the site"),
            ('<img src="docs/images/one.svg">', "docs/images/one.svg has no text"),
            ('<img src="docs/images/one.svg" alt="">', "docs/images/one.svg has no text"),
            ('<script src="missing.js"></script>', "missing.js is not in the site"),
        ):
            self.assert_one("index.html", page + added, words)
        self.assert_one("site.css", '@import url("https://fonts.example.com/css");', "site.css: https://fonts.example.com/css is loaded")
        self.assert_one("site.css", "a { background: url(missing.png) }", "site.css: missing.png is not in the site")
        svg = '<svg><image href="https://example.com/x.png"/></svg>'
        self.assert_one("docs/images/one.svg", svg, "docs/images/one.svg: https://example.com/x.png is loaded")

    def test_navigation_and_search(self):
        self.assert_one("docs/lost.html", "<p>lost</p>", "docs/lost.html is not in the navigation")
        self.assert_one("toc.html", None, "there is no toc.html")
        self.assert_one("searchindex-0123abcd.js", None, "there is no search index")
        self.assertEqual(self.problems(files={"print.html": "<p>all</p>"}), [])


@unittest.skipIf(os.name == "nt", "mdBook is a shell script here")
class BuildTest(unittest.TestCase):
    def build(self, folder, mdbook):
        program = Path(folder, "mdbook")
        program.write_text("#!/bin/sh\n" + mdbook, "utf-8")
        program.chmod(0o755)
        return subprocess.run(
            [sys.executable, BUILD, program, Path(folder, "site")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
        )

    def test_mdbook_gets_all_pages_and_what_they_link_to(self):
        with tempfile.TemporaryDirectory() as folder:
            built = self.build(folder, 'test "$1" = build && test -e "$2/book.toml" && test -e "$2/site.css"')
            self.assertEqual((built.returncode, built.stderr), (0, ""))
            source = Path(folder, "site/src")
            pages = {path.relative_to(source).as_posix() for path in source.rglob("*.md")}
            expected = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} - {"docs/SUMMARY.md"}
            self.assertEqual(pages, expected | {"index.md", "CHANGELOG.md", "SUMMARY.md"})
            listed = re.findall(r"\]\(([^)]+)\)", (source / "SUMMARY.md").read_text("utf-8"))
            self.assertEqual(sorted(listed), sorted(pages - {"SUMMARY.md"}))
            self.assertIn("](../index.md#install)", (source / "docs/qgis.md").read_text("utf-8"))
            self.assertIn("](docs/getting-started.md)", (source / "index.md").read_text("utf-8"))
            self.assertIn("[Exit codes](exit-codes.md)", (source / "docs/json.md").read_text("utf-8"))
            for name in ("docs/policy/age-oauth.admx", "docs/images/guided-add.svg", "LICENSE-MIT", "LICENSE-SITE.txt"):
                self.assertTrue((source / name).is_file(), name)

    def test_words_of_code_are_marked(self):
        mark = load(BUILD).mark_words
        self.assertEqual(mark("<code>token --json | x</code>"), '<code>token <span class="word">--json</span> | x</code>')
        self.assertEqual(mark("<code>age-oauth</code> a-b"), '<code><span class="word">age-oauth</span></code> a-b')
        self.assertEqual(mark(f"<code>{'x' * 41}</code>"), f'<code><span class="long">{"x" * 41}</span></code>')
        address = "https://gis.example.com/portal/sharing/rest"
        marked = "https://<wbr>gis.example.com/<wbr>portal/<wbr>sharing/<wbr>rest"
        self.assertEqual(mark(f"<code>{address}</code>"), f'<code><span class="long">{marked}</span></code>')
        for same in ("<pre><code>age-oauth</code></pre>", '<code class="language-sh">a-b</code>', "<code>a b</code>", f"<code>{'long-' * 7}</code>"):
            self.assertEqual(mark(same), same)

    def test_warnings_and_failures_of_mdbook_are_errors(self):
        with tempfile.TemporaryDirectory() as folder:
            for mdbook in ("echo ' WARN unclosed HTML tag' >&2", "echo 'ERROR no such file'", "echo broken; exit 101"):
                built = self.build(folder, mdbook)
                self.assertEqual(built.returncode, 1, mdbook)
                self.assertRegex(built.stderr, "unclosed|no such file|broken")
            self.assertEqual(self.build(folder, "echo ' INFO Book building has started'").returncode, 0)


if __name__ == "__main__":
    unittest.main()
