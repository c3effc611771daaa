"""The engine ``runbook`` of papermill: ``papermill --engine runbook IN OUT``.

Papermill loads this module, by the entry point in pyproject.toml, while it is itself being
imported: so nothing is imported from it here before it is used.
"""

# ruff: noqa: PLC0415 - see above
from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook.archive.files import write_atomic

if TYPE_CHECKING:
    from runbook.engine import Execution
    from runbook.kernel import Kernels

__all__ = ["RunbookEngine"]


class RunbookEngine:
    """The engine as papermill calls it: one notebook, one kernel of this interpreter."""

    @classmethod
    def execute_notebook(  # noqa: PLR0917 - papermill's signature
        cls,
        nb: Any,
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: bool | Mapping[str, Any] = True,
        log_output: bool = False,
        execution_timeout: float | None = None,
        stdout_file: Any = None,
        stderr_file: Any = None,
        **_: Any,
    ) -> Any:
        """Execute a notebook with papermill's arguments; others of them have no effect.

        Args:
            nb: The notebook node, parameters injected.
            kernel_name: Not looked at: the kernel is always of this interpreter.
            output_path: File to save to.
            progress_bar: Whether to show one, or options for it.
            log_output: Whether to log outputs.
            execution_timeout: Seconds a cell may take.
            stdout_file: File to copy standard output to.
            stderr_file: File to copy standard error to.

        Returns:
            The executed notebook without secrets, which papermill writes once more.

        Raises:
            InfrastructureError: The kernel did not start, died, or a cell took too long.
            KeyboardInterrupt: It was interrupted; the file holds what there is.
        """
        import nbformat

        from runbook import scrub
        from runbook.engine import CELL_TIMEOUT, Execution
        from runbook.kernel import Kernels

        clean = scrub.for_notebook(nb.metadata.get("papermill", {}).get("parameters", {}))

        def write(node: Any) -> None:
            if output_path:
                text = json.dumps(clean(node), indent=1, ensure_ascii=False)
                write_atomic(Path(output_path), text + "\n")

        execution = Execution(nb, write=write, progress_bar=progress_bar, log_output=log_output)
        execution.notebook_start()
        try:
            with Kernels(1, forked=False) as kernels:
                work = cls._on_one(
                    kernels,
                    execution,
                    redact=clean,
                    cell_timeout=execution_timeout or CELL_TIMEOUT,
                    log_output=log_output,
                    stdout_file=stdout_file,
                    stderr_file=stderr_file,
                )
                kernels.run(work)
        finally:
            execution.notebook_complete()
        if execution.interrupted:
            raise KeyboardInterrupt
        read: Any = nbformat.from_dict
        return read(clean(execution.nb))

    @staticmethod
    async def _on_one(kernels: Kernels, execution: Execution, **options: Any) -> None:
        from runbook.engine import execute

        await execute(execution, await kernels.take(), **options)

    @classmethod
    def nb_kernel_name(cls, nb: Any, name: str | None = None) -> str:
        """Give the name of the kernel: of this interpreter, whatever the notebook says."""
        del nb
        return name or "python3"

    @classmethod
    def nb_language(cls, nb: Any, language: str | None = None) -> str:
        """Give the language of the notebook."""
        del nb
        return language or "python"
