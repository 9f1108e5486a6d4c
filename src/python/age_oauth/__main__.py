"""``python -m age_oauth …`` is ``age-oauth …``: pip's user scheme is often not on PATH."""

from .cli import main

raise SystemExit(main())
