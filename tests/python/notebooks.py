"""Runs the cells that are given as arguments in a real kernel, as JupyterLab does, and prints what each shows.

For each question of a cell it prints a line and reads the answer from standard input: the answer of the person at the
notebook. At the end there is one line of JSON for each cell. ``AGE_OAUTH_TEST_NOTEBOOK`` names a file for the notebook.
With ``papermill`` as the first argument, papermill runs the cells, where no person answers.
"""

import asyncio
import json
import os
import sys

import nbformat
from nbclient import NotebookClient


class Person(NotebookClient):
    """A notebook that a person looks at: questions are answered."""

    async def async_start_new_kernel_client(self):
        client = await super().async_start_new_kernel_client()
        client.allow_stdin = True
        self.answering = asyncio.create_task(self.answer(client))
        return client

    async def answer(self, client):
        while True:
            message = await client.get_stdin_msg(timeout=None)
            loop = asyncio.get_running_loop()
            asked = message["content"]["prompt"]
            shown = await self.shown_before(asked)
            print(json.dumps({"asked": asked, "shown": shown}), flush=True)
            client.input((await loop.run_in_executor(None, sys.stdin.readline)).rstrip("\n"))

    async def shown_before(self, asked):
        """What the cell shows while it waits; the output may arrive after the question."""
        for _ in range(600):
            shown = text(running(self.nb))
            if "browser" not in asked and "Code" not in asked or "https://" in shown:
                return shown
            await asyncio.sleep(0.1)
        raise AssertionError("no address was shown")


def running(notebook):
    """The last cell that has begun."""
    begun = [cell for cell in notebook.cells if cell.outputs or cell.execution_count]
    return (begun or notebook.cells)[-1]


def text(cell, stream="stderr"):
    return "".join(one.text for one in cell.outputs if one.output_type == "stream" and one.name == stream)


def shown(cell):
    errors = [one for one in cell.outputs if one.output_type == "error"]
    results = [one.data.get("text/plain") for one in cell.outputs if one.output_type == "execute_result"]
    return {
        "stdout": text(cell, "stdout"),
        "stderr": text(cell),
        "result": results[0] if results else None,
        "error": errors[0].ename if errors else None,
        "traceback": [line for one in errors for part in one.traceback for line in part.splitlines()],
    }


def by_papermill(notebook, path):
    import papermill

    nbformat.write(notebook, path)
    try:
        papermill.execute_notebook(path, path, kernel_name="python3", progress_bar=False, log_output=False)
    except papermill.PapermillExecutionError:
        pass
    # papermill writes what it ran, also if a cell failed; its own cell says so at the top.
    done = nbformat.read(path, as_version=4)
    return [cell for cell in done.cells if "papermill-error-cell" not in str(cell.metadata.get("tags"))]


def main(cells):
    unattended = cells[0] == "papermill"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells[unattended:]])
    path = os.environ.get("AGE_OAUTH_TEST_NOTEBOOK")
    if unattended:
        done = by_papermill(notebook, path or "notebook.ipynb")
    else:
        client = Person(notebook, kernel_name="python3", allow_errors=True, timeout=120)
        client.execute()
        done = notebook.cells
        if path:
            nbformat.write(notebook, path)
    for cell in done:
        if cell.cell_type == "code":
            print(json.dumps(shown(cell)), flush=True)


main(sys.argv[1:])
