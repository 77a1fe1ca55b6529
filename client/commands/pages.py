"""What the commands that list things share: the query, the table, and how to go on."""

from __future__ import annotations

from client.errors import ExitCode
from client.shell import Shell
from client.table import Table
from protocol.base import Page

ALL = {"limit": "200"}  # as many as one page may hold


def query(**asked: str | int | None) -> dict[str, str]:
    """The parameters that were given."""
    return {name: str(value) for name, value in asked.items() if value is not None}


def show_page(shell: Shell, page: Page, table: Table) -> int:
    shell.screen.document(page)
    shell.screen.table(table)
    if page.next_cursor:
        shell.screen.line(f"{len(table.rows)} of {page.total}; go on with --cursor {page.next_cursor}")
    return ExitCode.DONE


def show_all(shell: Shell, page: Page, table: Table) -> int:
    """For lists that one page holds nearly always."""
    shell.screen.document(page)
    shell.screen.table(table)
    if len(table.rows) < page.total:
        shell.screen.line(f"{len(table.rows)} of {page.total}")
    return ExitCode.DONE
