"""The API's side of `Idempotency-Key`."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from django.db import transaction
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from openintern.api import body_of, scope_of
from runs import idempotency

Post = TypeVar("Post", bound=Callable[..., Response])
_HEADER = "Idempotency-Key"
_PARAMETER = OpenApiParameter(
    _HEADER, str, OpenApiParameter.HEADER, description="the same request, sent twice with one key, is carried out once"
)


def once(post: Post) -> Post:
    """Carry out a request that has an `Idempotency-Key` once, however often it is sent; for every POST that starts work.

    The view's work and its kept answer commit together; where it raises, nothing is kept.
    """

    @wraps(post)
    def answer(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get(_HEADER)
        if key is None:
            return post(view, request, *args, **kwargs)
        asked = idempotency.digest({"path": request.path, "body": body_of(request)})
        with transaction.atomic():
            earlier = idempotency.earlier_answer(scope_of(request), key, request_digest=asked)
            if earlier is not None:
                return Response(json.loads(earlier.body), status=earlier.status, headers=earlier.headers)
            response = post(view, request, *args, **kwargs)
            _keep(request, key, asked, response)
        return response

    return cast(Post, extend_schema(parameters=[_PARAMETER])(answer))


def _keep(request: Request, key: str, asked: str, response: Response) -> None:
    """Keep the answer as it is written out: sent again, it is the same to the letter."""
    idempotency.keep_answer(
        scope_of(request),
        key,
        request_digest=asked,
        status=response.status_code,
        body=JSONRenderer().render(response.data).decode(),
        headers={name: response[name] for name in ("Location",) if name in response},
    )
