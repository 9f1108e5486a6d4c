"""Checks the built site of the documentation: python3 tests/tools/site.py FOLDER

Every link within the site has its file and its anchor, every page is in the navigation (toc.html), every picture, style and
script is a file of the site, every picture says what it shows, and there is a search index. Prints what is wrong, and ends with 1 if something is.
"""

import pathlib
import posixpath
import re
import sys
import urllib.parse
from html.parser import HTMLParser

#: Attributes that name a page to go to.
LINKS = {("a", "href"), ("area", "href")}
#: Attributes that name what a browser loads with the page.
RESOURCES = {
    ("audio", "src"),
    ("embed", "src"),
    ("form", "action"),
    ("iframe", "src"),
    ("image", "href"),
    ("image", "xlink:href"),
    ("img", "src"),
    ("input", "src"),
    ("link", "href"),
    ("object", "data"),
    ("script", "src"),
    ("source", "src"),
    ("track", "src"),
    ("use", "href"),
    ("use", "xlink:href"),
    ("video", "poster"),
    ("video", "src"),
}
#: What a style sheet loads.
STYLE = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")
#: The table of contents for browsers without scripts, and all pages as one.
NAVIGATION, EVERYTHING = "toc.html", "print.html"


class Page(HTMLParser):
    """What a page, or a picture in SVG, names."""

    def __init__(self, text):
        super().__init__()
        self.anchors, self.links, self.resources, self.inside = set(), [], [], ""
        self.unnamed_pictures = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.inside = tag
        if tag == "img" and not dict(attributes).get("alt"):
            self.unnamed_pictures.append(dict(attributes).get("src"))
        for name, value in attributes:
            value = value or ""
            if name == "id" or (tag, name) == ("a", "name"):
                self.anchors.add(value)
            elif (tag, name) in LINKS:
                self.links.append(value)
            elif (tag, name) in RESOURCES:
                self.resources.append(value)
            elif name == "srcset":
                self.resources += [one.split()[0] for one in value.split(",") if one.strip()]
            elif name == "style":
                self.resources += styled(value)

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside == "style":
            self.resources += styled(data)


def styled(text):
    """The addresses in a style sheet."""
    return [one or other for one, other in STYLE.findall(text)]


class Site:
    def __init__(self, folder):
        self.files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        self.pages, self.problems, self.checked = {}, [], 0
        for name, path in self.files.items():
            if path.suffix in (".html", ".svg"):
                self.pages[name] = Page(path.read_text("utf-8"))

    def check(self):
        for name, page in self.pages.items():
            for link in page.links:
                self.check_link(name, link)
            for resource in page.resources:
                self.check_resource(name, resource)
            for picture in page.unnamed_pictures:
                self.problems.append(f"{name}: {picture} has no text for those who do not see it")
        for name, path in self.files.items():
            if path.suffix == ".css":
                for resource in styled(path.read_text("utf-8")):
                    self.check_resource(name, resource)
        self.check_navigation()
        if not any(re.search(r"(^|/)searchindex[^/]*\.js$", name) for name in self.files):
            self.problems.append("there is no search index")
        return self.problems

    def target(self, name, address):
        """The file that an address on a page leads to, and the anchor there."""
        path, anchor = urllib.parse.unquote(address.path), urllib.parse.unquote(address.fragment)
        if not path:
            return name, anchor
        return posixpath.normpath(posixpath.join(posixpath.dirname(name), path)), anchor

    def check_link(self, name, link):
        address = urllib.parse.urlsplit(link)
        if address.scheme or address.netloc:
            if address.scheme not in ("http", "https", "mailto"):
                self.problems.append(f"{name}: {link} is neither a page nor an address of the web")
            return
        self.checked += 1
        path, anchor = self.target(name, address)
        if path not in self.files:
            self.problems.append(f"{name}: {link} leads to {path}, which is not in the site")
        elif anchor and (path not in self.pages or anchor not in self.pages[path].anchors):
            self.problems.append(f"{name}: {link}: {path} has no anchor {anchor}")

    def check_resource(self, name, resource):
        address = urllib.parse.urlsplit(resource)
        if address.scheme == "data":
            return
        self.checked += 1
        if address.scheme or address.netloc:
            self.problems.append(f"{name}: {resource} is loaded from elsewhere")
        elif self.target(name, address)[0] not in self.files:
            self.problems.append(f"{name}: {resource} is not in the site")

    def check_navigation(self):
        navigation = self.pages.get(NAVIGATION)
        if navigation is None:
            self.problems.append(f"there is no {NAVIGATION}")
            return
        reached = {self.target(NAVIGATION, urllib.parse.urlsplit(link))[0] for link in navigation.links}
        for name in self.pages:
            if name.endswith(".html") and name not in reached and name not in (NAVIGATION, EVERYTHING):
                self.problems.append(f"{name} is not in the navigation")


def main(arguments):
    if len(arguments) != 1 or not pathlib.Path(arguments[0]).is_dir():
        print(__doc__.strip(), file=sys.stderr)
        return 2
    site = Site(pathlib.Path(arguments[0]))
    problems = site.check()
    for problem in problems:
        print(problem, file=sys.stderr)
    pages = sum(name.endswith(".html") for name in site.pages)
    print(f"the site: {pages} pages, {site.checked} links and files that they load, {len(problems)} problems")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
