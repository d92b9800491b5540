"""Every request that Feishu is sent, as the official SDK builds it: its paths, names and places of parameters.

The SDK takes 1.5 CPU seconds and 150 MB to import, so only a process that syncs ever does, when it has something to ask.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lark_oapi.core.model import BaseRequest

# what the API's pages name as the most
FILES_A_PAGE = 200
NODES_A_PAGE = 50
BLOCKS_A_PAGE = 500
TABLES_A_PAGE = 100
FIELDS_A_PAGE = 100
RECORDS_A_PAGE = 500
COMMENTS_A_PAGE = 100


def files(folder: str, page_token: str) -> BaseRequest:
    """What is in a folder."""
    from lark_oapi.api.drive.v1 import ListFileRequest  # noqa: PLC0415  see above

    return _paged(ListFileRequest.builder().folder_token(folder).page_size(FILES_A_PAGE), page_token)


def metas(token: str, types: tuple[str, ...]) -> BaseRequest:
    """What a token stands for, if it is one of these types."""
    from lark_oapi.api.drive.v1 import BatchQueryMetaRequest, MetaRequest, RequestDoc  # noqa: PLC0415  see above

    wanted = [RequestDoc.builder().doc_token(token).doc_type(each).build() for each in types]
    body = MetaRequest.builder().request_docs(wanted).with_url(True).build()
    return BatchQueryMetaRequest.builder().request_body(body).build()


def comments(token: str, kind: str, page_token: str) -> BaseRequest:
    """What people said about a document."""
    from lark_oapi.api.drive.v1 import ListFileCommentRequest  # noqa: PLC0415  see above

    builder = ListFileCommentRequest.builder().file_token(token).file_type(kind).page_size(COMMENTS_A_PAGE)
    return _paged(builder, page_token)


def node(token: str) -> BaseRequest:
    """A page of a wiki: which document it shows."""
    from lark_oapi.api.wiki.v2 import GetNodeSpaceRequest  # noqa: PLC0415  see above

    return GetNodeSpaceRequest.builder().token(token).build()


def nodes(space: str, parent: str, page_token: str) -> BaseRequest:
    """The pages of a wiki below one of them, or at its top."""
    from lark_oapi.api.wiki.v2 import ListSpaceNodeRequest  # noqa: PLC0415  see above

    builder = ListSpaceNodeRequest.builder().space_id(space).page_size(NODES_A_PAGE)
    return _paged(builder.parent_node_token(parent) if parent else builder, page_token)


def document(token: str) -> BaseRequest:
    """A document's title and revision."""
    from lark_oapi.api.docx.v1 import GetDocumentRequest  # noqa: PLC0415  see above

    return GetDocumentRequest.builder().document_id(token).build()


def blocks(token: str, *, revision: int, page_token: str) -> BaseRequest:
    """What a revision of a document is made of."""
    from lark_oapi.api.docx.v1 import ListDocumentBlockRequest  # noqa: PLC0415  see above

    builder = ListDocumentBlockRequest.builder().document_id(token).document_revision_id(revision)
    return _paged(builder.page_size(BLOCKS_A_PAGE), page_token)


def app(token: str) -> BaseRequest:
    """A table app's name and revision."""
    from lark_oapi.api.bitable.v1 import GetAppRequest  # noqa: PLC0415  see above

    return GetAppRequest.builder().app_token(token).build()


def tables(app_token: str, page_token: str) -> BaseRequest:
    """The tables of an app, with their revisions."""
    from lark_oapi.api.bitable.v1 import ListAppTableRequest  # noqa: PLC0415  see above

    return _paged(ListAppTableRequest.builder().app_token(app_token).page_size(TABLES_A_PAGE), page_token)


def fields(app_token: str, table: str, page_token: str) -> BaseRequest:
    """The fields of a table."""
    from lark_oapi.api.bitable.v1 import ListAppTableFieldRequest  # noqa: PLC0415  see above

    builder = ListAppTableFieldRequest.builder().app_token(app_token).table_id(table)
    return _paged(builder.page_size(FIELDS_A_PAGE), page_token)


def records(app_token: str, table: str, page_token: str, *, most: int) -> BaseRequest:
    """The records of a table, with all their fields. Page and its size are parameters of the address, not of the body."""
    from lark_oapi.api.bitable.v1 import SearchAppTableRecordRequest, SearchAppTableRecordRequestBody  # noqa: PLC0415

    body = SearchAppTableRecordRequestBody.builder().automatic_fields(False).build()
    builder = SearchAppTableRecordRequest.builder().app_token(app_token).table_id(table).request_body(body)
    return _paged(builder.page_size(min(most, RECORDS_A_PAGE)), page_token)


def sheet_info(token: str) -> BaseRequest:
    """A spreadsheet's title, revision and sheets. Version 2: the SDK has no builder, and version 3 tells no revision."""
    return _plain("/open-apis/sheets/v2/spreadsheets/:spreadsheetToken/metainfo", {"spreadsheetToken": token}, [])


def cells(token: str, place: str) -> BaseRequest:
    """The values of a range such as `sheet!A1:D200`, as people see them."""
    paths = {"spreadsheetToken": token, "range": place}
    return _plain(
        "/open-apis/sheets/v2/spreadsheets/:spreadsheetToken/values/:range",
        paths,
        [("valueRenderOption", "FormattedValue"), ("dateTimeRenderOption", "FormattedString")],
    )


def bot() -> BaseRequest:
    """Who the app's bot is. Version 3: the SDK has no builder."""
    return _plain("/open-apis/bot/v3/info", {}, [])


def reply(message: str, content: Mapping[str, Any], *, kind: str, once: str, in_thread: bool) -> BaseRequest:
    """An answer to a message: `post`, `text` or `interactive`. For an hour the same `once` again sends no second one."""
    from lark_oapi.api.im.v1 import ReplyMessageRequest, ReplyMessageRequestBody  # noqa: PLC0415  see above

    body = ReplyMessageRequestBody.builder().content(json.dumps(content, ensure_ascii=False)).msg_type(kind)
    body.reply_in_thread(in_thread).uuid(once)
    return ReplyMessageRequest.builder().message_id(message).request_body(body.build()).build()


def send(to: str, content: Mapping[str, Any], *, kind: str, once: str, to_type: str = "open_id") -> BaseRequest:
    """A message to somebody (`open_id`) or to a chat (`chat_id`). For an hour the same `once` again sends no second one."""
    from lark_oapi.api.im.v1 import CreateMessageRequest, CreateMessageRequestBody  # noqa: PLC0415  see above

    body = CreateMessageRequestBody.builder().receive_id(to).content(json.dumps(content, ensure_ascii=False))
    body.msg_type(kind).uuid(once)
    return CreateMessageRequest.builder().receive_id_type(to_type).request_body(body.build()).build()


def update_card(message: str, card: Mapping[str, Any]) -> BaseRequest:
    """A card that we have sent, as it is to be from now on."""
    from lark_oapi.api.im.v1 import PatchMessageRequest, PatchMessageRequestBody  # noqa: PLC0415  see above

    body = PatchMessageRequestBody.builder().content(json.dumps(card, ensure_ascii=False)).build()
    return PatchMessageRequest.builder().message_id(message).request_body(body).build()


def _plain(uri: str, paths: dict[str, str], queries: list[tuple[str, str]]) -> BaseRequest:
    from lark_oapi.core.enum import AccessTokenType, HttpMethod  # noqa: PLC0415  see above
    from lark_oapi.core.model import BaseRequest  # noqa: PLC0415

    builder = BaseRequest.builder().http_method(HttpMethod.GET).uri(uri).paths(paths).queries(queries)
    return builder.token_types({AccessTokenType.TENANT}).build()


def _paged(builder: Any, page_token: str) -> BaseRequest:
    request: BaseRequest = (builder.page_token(page_token) if page_token else builder).build()
    return request
