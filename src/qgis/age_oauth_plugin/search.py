"""The search of the portal's items, and adding a layer from one."""

from __future__ import annotations

from age_oauth import qgis as engine
from qgis.core import Qgis, QgsApplication, QgsDataSourceUri, QgsProject, QgsRasterLayer, QgsTask, QgsVectorLayer
from qgis.PyQt.QtCore import QCoreApplication, Qt
from qgis.PyQt.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from . import answers
from .connections import Connections, Entry
from .program import Run
from .texts import fit_columns, label, of_error, tell, tr

_SERVICE = Qt.ItemDataRole.UserRole


class Search(QWidget):
    """Fields, results, and a double click that adds a layer."""

    def __init__(self, iface: object, connections: Connections) -> None:
        super().__init__()
        self._iface, self._connections = iface, connections
        self._next = 0
        self._asked: "tuple[Entry, str] | None" = None
        self._runs: "set[Run]" = set()
        self._tasks: "set[_LayerTask]" = set()
        self._make_fields()
        self.results = QTreeWidget()
        self.results.setObjectName("searchResults")
        self.results.setHeaderLabels([tr("Title"), tr("Type"), tr("Owner")])
        self.results.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        fit_columns(self.results)
        self.results.itemDoubleClicked.connect(self._open)
        self._said = label(tr("Double click a service to add it to the map."))
        self._said.setObjectName("searchMessage")
        self._more = QPushButton(tr("More results"))
        self._more.setVisible(False)
        self._more.clicked.connect(self._ask_for_more)
        self._busy = QProgressBar()
        self._busy.setRange(0, 0)
        self._busy.setTextVisible(False)
        self._busy.setVisible(False)
        layout = QVBoxLayout(self)
        layout.addLayout(self._form)
        for one in (self.results, self._more, self._said, self._busy):
            layout.addWidget(one)
        self._connections.changed.connect(self._show)
        self._show()

    def _make_fields(self) -> None:
        self._form = QFormLayout()
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self._connection = QComboBox()
        self._connection.setObjectName("searchConnection")
        self._text = QLineEdit()
        self._text.setObjectName("searchText")
        self._text.setPlaceholderText(tr("words, or nothing for all"))
        self._text.returnPressed.connect(self._search)
        self._kind = QComboBox()
        self._kind.setObjectName("searchKind")
        self._kind.addItem(tr("All services"), list(answers.KINDS))
        for kind, text in (
            (answers.FEATURES, tr("Feature services")),
            (answers.MAP, tr("Map services")),
            (answers.IMAGE, tr("Image services")),
        ):
            self._kind.addItem(text, [kind])
        self._whose = QComboBox()
        self._whose.setObjectName("searchWhose")
        for whose, text in (
            (answers.MY_ORGANIZATION, tr("My organization")),
            (answers.MINE, tr("Mine")),
            (answers.MY_GROUPS, tr("My groups")),
            (answers.EVERYONE, tr("Everyone")),
        ):
            self._whose.addItem(text, whose)
        self._start = QPushButton(tr("Search"))
        self._start.setObjectName("searchStart")
        self._start.clicked.connect(self._search)
        self._form.addRow(tr("Connection"), self._connection)
        self._form.addRow(tr("Text"), self._text)
        self._form.addRow(tr("Type"), self._kind)
        line = QHBoxLayout()
        line.addWidget(self._whose, 1)
        line.addWidget(self._start)
        self._form.addRow(tr("Owner"), line)

    def _show(self) -> None:
        """The connections that are switched on: layers of others would not open."""
        chosen = self._connection.currentData()
        on = [one for one in self._connections.entries if self._connections.is_on(one.id)]
        if [self._connection.itemData(at) for at in range(self._connection.count())] != [one.id for one in on]:
            self._connection.clear()
            for one in on:
                self._connection.addItem(answers.plain(one.label), one.id)
            self._connection.setCurrentIndex(max(0, self._connection.findData(chosen)))
        self._start.setEnabled(bool(on))
        if not on:
            self._said.setText(tr("Switch a connection on first, in the tab Connections."))
        elif self._asked is None:
            self._said.setText(tr("Double click a service to add it to the map."))

    # — searching —

    def _search(self) -> None:
        entry = self._connections.find(self._connection.currentData() or "")
        if entry is None:
            return
        self._cancel()
        self.results.clear()
        self._more.setVisible(False)
        self._said.setText(tr("Searching …"))
        self._asked = entry, ""
        if self._whose.currentData() == answers.EVERYONE:
            self._ask(entry, None)
        else:
            self._run(entry, "community/self", [], lambda run: self._has_user(entry, run))

    def _has_user(self, entry: Entry, run: Run) -> None:
        if not self._has_failed(run):
            self._ask(entry, answers.answer(run.out))

    def _ask(self, entry: Entry, user: object) -> None:
        if not answers.knows_owner(self._whose.currentData(), user):
            self._said.setText(tr("The portal names no user or organization for this connection. Choose the owner Everyone."))
            return
        query = answers.query(self._text.text(), self._kind.currentData(), self._whose.currentData(), user)
        if query is None:
            self._said.setText(tr("You are in no group of this portal."))
            return
        self._asked = entry, query
        self._next = 1
        self._ask_for_more()

    def _ask_for_more(self) -> None:
        if self._asked is None:
            return
        entry, query = self._asked
        self._more.setVisible(False)
        fields = [f"q={query}", f"start={self._next}", f"num={answers.PAGE}"]
        self._run(entry, "search", fields, self._has_found)

    def _has_found(self, run: Run) -> None:
        if self._has_failed(run):
            return
        page = answers.answer(run.out)
        page = page if isinstance(page, dict) else {}
        found = page.get("results") if isinstance(page.get("results"), list) else []
        for one in found[: answers.PAGE]:
            service = answers.service(one)
            if service is not None:
                self._add_row(self.results.invisibleRootItem(), service, answers.plain(one.get("type")), answers.plain(one.get("owner")))
        following = page.get("nextStart")
        # A portal that names a page again would be asked without end.
        is_further = isinstance(following, int) and following > self._next and bool(found)
        self._next = following if is_further else 0
        self._more.setVisible(is_further)
        count = self.results.topLevelItemCount()
        self._said.setText(
            tr("{} services. Double click one to add it to the map.").format(count) if count else tr("Nothing was found.")
        )

    def _add_row(self, parent: QTreeWidgetItem, service: answers.Service, kind: str, owner: str) -> None:
        row = QTreeWidgetItem([service.title, kind, owner])
        row.setData(0, _SERVICE, service)
        parent.addChild(row)

    # — adding layers —

    def _open(self, row: QTreeWidgetItem, _column: int = 0) -> None:
        service, asked = row.data(0, _SERVICE), self._asked
        if not isinstance(service, answers.Service) or asked is None or self._runs:
            return
        entry = asked[0]
        if not self._connections.is_on(entry.id):
            self._said.setText(tr("Switch {} on first, in the tab Connections.").format(answers.plain(entry.label)))
            return
        if not engine.is_enabled(entry.connection):
            text = tr("QGIS is not signed in with {} now. Try again in a moment, or untick its box and tick it again.")
            self._said.setText(text.format(answers.plain(entry.label)))
            return
        belongs = engine.belongs(entry.connection, service.layer_url)
        if not belongs:
            host = answers.plain(service.url)
            self._said.setText(
                tr("The servers of the portal are not known yet. Try again in a moment.")
                if belongs is None
                else tr("{} is not on a server of this portal, so it is not opened with your sign-in.").format(host)
            )
            return
        if row.childCount():
            row.setExpanded(True)
            return
        self._said.setText(tr("Reading {} …").format(service.title))
        self._run(entry, service.layer_url, [], lambda run: self._has_read(entry, service, row, run))

    def _has_read(self, entry: Entry, service: answers.Service, row: QTreeWidgetItem, run: Run) -> None:
        if self._has_failed(run):
            return
        if not self._connections.is_on(entry.id):
            self._said.setText(tr("{} was switched off meanwhile.").format(answers.plain(entry.label)))
            return
        about = answers.answer(run.out)
        if not service.has_layers:
            self._add_layer(service, answers.crs(about))
            return
        found, are_all = answers.layers(service, about)
        if len(found) == 1:
            only = answers.Service(service.title, service.url, found[0].layer)
            self._add_layer(only, answers.crs(about))
            return
        for one in found:
            self._add_row(row, one, tr("Layer"), "")
        row.setExpanded(True)
        if not found:
            text = tr("It has no layers.")
        elif are_all:
            text = tr("{} layers. Double click one to add it to the map.").format(len(found))
        else:
            text = tr("The first {} layers. Double click one to add it to the map.").format(len(found))
        self._said.setText(text)

    def _add_layer(self, service: answers.Service, crs: str) -> None:
        uri = QgsDataSourceUri()
        for name, value in service.source(crs).items():
            uri.setParam(name, value)
        self._said.setText(tr("Opening {} …").format(service.title))
        task = _LayerTask(service, uri.uri(False), self._has_opened)
        self._tasks.add(task)
        QgsApplication.taskManager().addTask(task)

    def _has_opened(self, task: "_LayerTask") -> None:
        self._tasks.discard(task)
        layer, title = task.layer, task.service.title
        if task.isCanceled():
            self._said.setText(tr("Opening {} was canceled.").format(title))
            return
        if layer is None or not layer.isValid():
            why = answers.plain(layer.error().summary() if layer is not None else "", 500)
            self._said.setText(tr("{} could not be opened. {}").format(title, why))
            tell(self._iface, tr("The layer {} could not be opened. {}").format(title, why), Qgis.MessageLevel.Warning)
            return
        QgsProject.instance().addMapLayer(layer)
        self._said.setText(tr("{} was added to the map.").format(title))

    # — runs of the program —

    def _run(self, entry: Entry, path: str, fields: "list[str]", ended: object) -> None:
        def done(run: Run) -> None:
            self._runs.discard(run)
            self._busy.setVisible(bool(self._runs))
            ended(run)  # type: ignore[operator]

        words = ["api", "--connection-id", entry.id, "--output", "-"]
        words.extend(f"--field={one}" for one in fields)
        self._runs.add(self._connections.program.run([*words, "--", path], done))
        self._busy.setVisible(True)

    def _has_failed(self, run: Run) -> bool:
        if run.error is not None:
            self._said.setText(of_error(run.error))
        return run.error is not None

    def _cancel(self) -> None:
        for run in list(self._runs):
            run.close()
        self._runs.clear()
        self._busy.setVisible(False)

    def close_all(self) -> None:
        """Ends what goes on."""
        self._cancel()
        for task in list(self._tasks):
            task.forget()
        self._tasks.clear()


class _LayerTask(QgsTask):
    """Opens a layer in a thread of QGIS: its server is asked for that."""

    def __init__(self, service: answers.Service, source: str, ended: object) -> None:
        super().__init__(tr("Opening {}").format(service.title), QgsTask.Flag.CanCancel)
        self.service, self._source, self._ended = service, source, ended
        self.layer: "QgsVectorLayer | QgsRasterLayer | None" = None

    def run(self) -> bool:
        """Opens it."""
        kind = QgsVectorLayer if self.service.provider == "arcgisfeatureserver" else QgsRasterLayer
        layer = kind(self._source, self.service.title, self.service.provider)
        layer.moveToThread(QCoreApplication.instance().thread())
        self.layer = layer
        return True

    def finished(self, _result: bool) -> None:
        """Called in the main thread."""
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(self)  # type: ignore[operator]

    def forget(self) -> None:
        """Calls nothing any more."""
        self._ended = None
        self.cancel()
