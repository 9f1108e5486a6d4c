"""A portal that answers anything to what the panel asks it: the panel says something, stays usable, and nothing is raised."""

import sys

from qgis_desktop import *

raised = []
before = sys.excepthook


def note(kind, value, trace):
    raised.append(value)
    before(kind, value, trace)


def finished(panel):
    return not panel.search._runs and not panel.search._tasks and not plugin().connections.program.runs


def test():
    install()
    sys.excepthook = note
    panel = open_panel()
    row(panel.list, "prod")
    tick("prod")
    until(lambda: is_on("prod"), "the connection is on")
    panel._tabs.setCurrentIndex(1)
    click("searchStart")
    results = shown("searchResults")
    with Holds() as holds:
        while True:
            say("next")
            what, _, expected = hear().partition(" ")
            if what == "end":
                break
            if what == "search":
                click("searchStart")
            elif what == "open":
                double_click(results, row(results, "Roads"))
            elif what == "switch":
                panel._tabs.setCurrentIndex(0)
                for _ in range(2):
                    tick("prod")
                until(lambda: is_on("prod"), "the connection is on")
                panel._tabs.setCurrentIndex(1)
            until(lambda: finished(panel), f"the end of {what}")
            text = text_of("searchMessage")
            assert text and not text.endswith("…") and expected in text, (what, expected, text)
            assert not raised, (what, raised)
    figure("hold", max(holds.all.values()) * 1000)
    figure("hold-processor", holds.processor * 1000)
    assert len(layers()) <= 1


run(test)
