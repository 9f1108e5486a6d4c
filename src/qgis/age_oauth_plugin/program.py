"""Runs of the program, which never let QGIS's window wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from age_oauth import _find, _program
from age_oauth.errors import AgeOAuthError, ProgramUnusable
from qgis.PyQt.QtCore import QObject, QProcess, QProcessEnvironment, QTimer, pyqtSignal

from . import answers
from .translation import tr

#: The program limits each of its own waits; this limit is for one that hangs nevertheless, in
#: milliseconds. A sign-in has the program's own limit.
_TIMEOUT = 300_000

#: A longer answer is an error: QGIS would stop while it is parsed. In bytes.
_LONGEST = 4 * 1024 * 1024

#: A program that was asked to end is ended after so many milliseconds.
_PATIENCE = 3000

#: The same after the plugin was unloaded. Nothing waits for that.
_LAST_PATIENCE = 10_000


class Program(QObject):
    """The program of this machine."""

    #: Something else is known about it.
    changed = pyqtSignal()
    #: In the main thread, from the thread that looks for it: its path, or the error.
    _found = pyqtSignal(object)
    #: The same: its path and its version, as text.
    _described = pyqtSignal(str, str)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._path: "str | None" = None
        #: Where it is, and its version; empty while they are not known.
        self.place, self.version = "", ""
        self._is_looking = False
        self._waiting: "list[Run]" = []
        self.runs: "set[Run]" = set()
        self._found.connect(self._has_found)
        self._described.connect(self._has_described)

    def run(
        self,
        arguments: "Sequence[str]",
        ended: "Callable[[Run], None]",
        *,
        line: "Callable[[dict], None] | None" = None,
        text: "str | None" = "",
        has_limit: bool = True,
    ) -> "Run":
        """Starts the program. ``ended`` is called once, later; ``line`` before that for each JSON object that it prints.
        ``text`` is all of its standard input; ``None`` leaves it open for :meth:`Run.write`."""
        run = Run(self, list(arguments), ended, line, text, has_limit)
        self.runs.add(run)
        if self._path is None:
            self._waiting.append(run)
            self.look()
        else:
            run.start(self._path)
        return run

    def look(self) -> None:
        """Looks for the program, in a thread of its own: a folder of ``PATH`` may be on a server that does not answer."""
        if self._is_looking:
            return
        self._is_looking = True
        threading.Thread(target=self._look, name="age-oauth program", daemon=True).start()

    def _look(self) -> None:
        found: "str | AgeOAuthError"
        version: "tuple[int, ...] | None" = None
        try:
            found = _find.find()
        except ProgramUnusable as error:
            found = answers.missing(error, tr)
        except Exception as error:
            found = AgeOAuthError(tr("the program cannot be looked for: {}").format(error))
        try:
            if isinstance(found, str):
                version = _program.version(found)
                found = answers.unusable(found, version, tr) or found
        except AgeOAuthError as error:
            found = error
        except Exception as error:
            found = AgeOAuthError(tr("the program cannot be looked for: {}").format(error))
        try:
            self._found.emit(found)
            if isinstance(found, str) and version is not None:
                self._described.emit(found, ".".join(map(str, version)))
        except RuntimeError:  # The plugin was unloaded meanwhile.
            pass

    def _has_described(self, place: str, version: str) -> None:
        self.place, self.version = place, version
        self.changed.emit()

    def _has_found(self, found: object) -> None:
        self._is_looking = False
        waiting, self._waiting = self._waiting, []
        if isinstance(found, AgeOAuthError):
            self._has_described("", "")
            for run in waiting:
                run.fail(found)
            return
        self._path = str(found)
        for run in waiting:
            run.start(self._path)

    def forget(self) -> None:
        """Looks again at the next run."""
        self._path = None
        _find.forget()

    def close(self) -> None:
        """Ends all runs. None of them calls anything any more."""
        for run in list(self.runs):
            run.close()
        self._waiting.clear()


class Run(QObject):
    """One run of the program."""

    def __init__(
        self,
        program: Program,
        arguments: "list[str]",
        ended: "Callable[[Run], None]",
        line: "Callable[[dict], None] | None",
        text: "str | None",
        has_limit: bool,
    ) -> None:
        super().__init__(program)
        self._program, self._arguments, self._ended, self._line, self._text = program, arguments, ended, line, text
        self._has_limit = has_limit
        self._process: "QProcess | None" = None
        self._out, self._err, self._seen = b"", b"", 0
        self._is_over = False
        #: What went wrong; ``None`` if nothing did.
        self.error: "AgeOAuthError | None" = None
        #: Whether a person has canceled it.
        self.is_canceled = False

    @property
    def out(self) -> bytes:
        """What it has printed on standard output."""
        return self._out

    def start(self, path: str) -> None:
        """Starts it, if it was not canceled meanwhile."""
        if self._is_over:
            return
        process = self._process = QProcess(self)
        environment = QProcessEnvironment.systemEnvironment()
        environment.insert(_find.GUARD, path)
        process.setProcessEnvironment(environment)
        process.setProgram(path)
        process.setArguments(self._arguments)
        process.readyReadStandardOutput.connect(self._read)
        process.finished.connect(self._has_finished)
        # Later: on Windows, Qt emits it within `start`, before the caller has this run. A queued
        # connection is not possible, because Qt 5 does not register the type of the error.
        process.errorOccurred.connect(lambda error: QTimer.singleShot(0, lambda: self._has_failed(error)))
        process.start()
        if self._text is not None and process.state() != QProcess.ProcessState.NotRunning:
            process.write(self._text.encode("utf-8", "replace"))
            process.closeWriteChannel()
        self._text = None
        if self._has_limit:
            QTimer.singleShot(_TIMEOUT, self._stop_late)

    def write(self, text: str) -> None:
        """Sends a line to its standard input."""
        if self._process is not None and self._process.state() != QProcess.ProcessState.NotRunning:
            self._process.write(f"{text}\n".encode("utf-8", "replace"))

    def cancel(self) -> None:
        """Ends it. On Unix, the program then revokes what the portal may have granted already."""
        self.is_canceled = True
        if self._process is None:
            self.fail(AgeOAuthError("canceled"))
            return
        if self._process.state() != QProcess.ProcessState.NotRunning:
            # The program ends when its input has ended, also on Windows, where one
            # without a window does not notice the other.
            self._process.closeWriteChannel()
        self._process.terminate()
        QTimer.singleShot(_PATIENCE, self._kill)

    def close(self) -> None:
        """Ends it, and calls nothing any more."""
        self._is_over = True
        process, self._process = self._process, None
        if process is not None:
            # The program may be ended at any time. Nothing waits for it.
            process.blockSignals(True)
            process.setParent(None)
            process.closeWriteChannel()
            process.terminate()
            _keep_until_its_end(process)
        self._remove()

    def fail(self, error: AgeOAuthError) -> None:
        """Ends it with an error."""
        self.error = error
        self._end()

    def _stop_late(self) -> None:
        if not self._is_over:
            text = tr("`{}` did not finish within {} seconds")
            self.error = AgeOAuthError(text.format(f"age-oauth {self._arguments[0]}", _TIMEOUT // 1000))
            self._kill()

    def _kill(self) -> None:
        if self._process is not None and not self._is_over:
            self._process.kill()

    def _read(self) -> None:
        if self._process is None:
            return
        more = bytes(self._process.readAllStandardOutput())
        if len(self._out) + len(more) > _LONGEST:
            self._out = b""
            self.error = AgeOAuthError(tr("the answer is longer than {} MiB").format(_LONGEST >> 20))
            self._kill()
            return
        self._out += more
        end = self._out.rfind(b"\n") + 1
        lines, self._seen = self._out[self._seen : end], max(self._seen, end)
        if self._line is not None:
            for one in answers.objects(lines):
                if isinstance(one, dict):
                    self._line(one)

    def _has_finished(self, code: int, status: object) -> None:
        if self._process is None or self._is_over:
            return
        self._read()
        self._err = bytes(self._process.readAllStandardError())
        if self.error is None:
            if status != QProcess.ExitStatus.NormalExit:
                self.error = AgeOAuthError(tr("age-oauth was stopped before it answered"))
            elif code != 0:
                self.error = answers.failure(code, self._err, tr)
        self._end()

    def _has_failed(self, error: object) -> None:
        if error == QProcess.ProcessError.FailedToStart and self._process is not None and not self._is_over:
            self._program.forget()
            text = tr("`{}` cannot be started: {}").format(self._process.program(), self._process.errorString())
            self.fail(ProgramUnusable(text, "age-oauth doctor"))

    def warnings(self) -> "list[str]":
        """The warnings that it has printed."""
        return answers.warnings(self._err)

    def _end(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._ended(self)
            self._remove()

    def _remove(self) -> None:
        self._program.runs.discard(self)
        self.deleteLater()


#: Processes that go on after the plugin was unloaded. Qt would kill one that is forgotten.
_ending: "set[QProcess]" = set()


def _keep_until_its_end(process: QProcess) -> None:
    _ending.add(process)
    process.blockSignals(False)
    for signal in (process.readyReadStandardOutput, process.finished, process.errorOccurred):
        try:
            signal.disconnect()
        except TypeError:
            pass
    process.finished.connect(lambda *_: _ending.discard(process))
    if process.state() == QProcess.ProcessState.NotRunning:
        _ending.discard(process)
    else:
        QTimer.singleShot(_LAST_PATIENCE, lambda: _kill_late(process))


def _kill_late(process: QProcess) -> None:
    if process in _ending:
        process.kill()
