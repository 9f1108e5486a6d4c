"""Another version of the package is loaded before the plugin: a message, and no error of Python."""

import sys
import types

from qgis_desktop import *


def test():
    other = sys.modules["age_oauth"] = types.ModuleType("age_oauth")
    other.__file__ = "/somewhere/age_oauth/__init__.py"
    install()
    until(lambda: "/somewhere/age_oauth/" in everything(iface.messageBar()), "the message")
    picture("other")


def everything(bar):
    from qgis.PyQt.QtWidgets import QTextBrowser

    return " ".join(one.toPlainText() for one in bar.findChildren(QTextBrowser)) + " ".join(messages())


run(test)
