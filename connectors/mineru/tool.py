"""What agents may call: a PDF into memory. The call waits for its answer without a worker."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import Field

from connectors.mineru import asking
from connectors.mineru.ending import KIND, result_of
from connectors.models import PdfFile
from openintern.errors import OpenInternError
from runs.tools.registry import Later, ToolContext, ToolError, tool

#: The service is asked for as long as its configuration says; this is far beyond.
_WITHIN: Final = timedelta(hours=24)


@tool(risk="medium", mutating=True, recovery="keyed", timeout=60.0, answers_later=True, from_outside=True)
def mineru_ingest_pdf(
    context: ToolContext,
    file_url: Annotated[str, Field(max_length=4000), "Address of a PDF; give this or file_path"] = "",
    file_path: Annotated[str, Field(max_length=1000), "Path of a PDF in the workspace; give this or file_url"] = "",
    title: Annotated[str, Field(max_length=300), "What the document is called"] = "",
    source_key: Annotated[str, Field(max_length=300), "What it replaces, if it is a new version of something"] = "",
    options: Annotated[
        dict[str, Any] | None,
        "model_version (pipeline, vlm, MinerU-HTML), is_ocr, enable_formula, enable_table, language, page_ranges, data_id",
    ] = None,
    project_shared: Annotated[bool, "For everybody in the project, not only for the person who gave the task"] = True,
    metadata: Annotated[dict[str, Any] | None, "What else is known of it"] = None,
) -> dict[str, Any] | Later:
    """Read a PDF into long-term memory, with headings, tables, formulas and page numbers, found by search from then on.

    Takes a minute or more. Returns the memory's id and how many passages it has.
    """
    if file_url and file_path:
        raise ToolError("MINERU_INPUT_CONFLICT: give file_url or file_path, not both")
    if not file_url and not file_path:
        raise ToolError("MINERU_INPUT_REQUIRED: give file_url or file_path")
    told = options or {}
    about = {
        "title": title,
        "source_key": source_key,
        "metadata": metadata or {},
        "run_id": context.run_id,
        "tool_call_id": context.tool_call_id,
        "is_told": False,
    }
    scope = context.scope if project_shared else replace(context.scope, project=None)
    file = _begun(context)
    if file is None:
        try:
            if file_url:
                file = asking.accept_url(scope, file_url, told=told, **about)
            else:
                content = _content(context, file_path)
                file = asking.accept_content(
                    scope, io.BytesIO(content), name=file_path, size=len(content), told=told, **about
                )
        except OpenInternError as refusal:
            raise ToolError(f"{refusal.code}: {refusal.message}") from refusal
    return _answer(file)


def _begun(context: ToolContext) -> PdfFile | None:
    """What this very call has begun, before a crash."""
    rows = PdfFile.objects.select_related("job").filter(run_id=context.run_id, tool_call_id=context.tool_call_id)
    return rows.first()


def _answer(file: PdfFile) -> dict[str, Any] | Later:
    if file.status == PdfFile.Status.COMPLETED:
        return result_of(file)
    if file.status == PdfFile.Status.FAILED:
        raise ToolError(f"{file.error_code}: {file.error_message}")
    return Later(kind=KIND, reference=file.pk, within=_WITHIN, message=f"{file.filename} is being read")


def _content(context: ToolContext, path: str) -> bytes:
    if not path.lower().endswith(".pdf"):
        raise ToolError("MINERU_FILE_PATH_INVALID: not a PDF")
    try:
        is_there = context.workspace.exists(path)
        content = context.workspace.read(path) if is_there else b""
    except ToolError as error:
        raise ToolError(f"MINERU_FILE_PATH_INVALID: {error}") from error
    if not is_there:
        raise ToolError("MINERU_FILE_PATH_NOT_FOUND: there is no such file in the workspace")
    return content
