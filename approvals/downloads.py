"""A file that is made while it is sent, so that its length costs time and no memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse


def download(
    request: HttpRequest, parts: Iterator[str], *, name: str, content_type: str
) -> StreamingHttpResponse:
    """Answer with these parts as a file of this name. Nothing of the request is left when they are read: not
    the reader's zone, not the request's id."""
    # Under ASGI Django would collect a plain iterator into a list before it sends the first byte.
    stream = _off_the_loop(parts) if isinstance(request, ASGIRequest) else parts
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(stream, content_type=content_type, headers=headers)


async def _off_the_loop(parts: Iterator[str]) -> AsyncIterator[str]:
    """Each part is made in the thread that the request's views run in, which holds its connection."""

    def take() -> str | None:
        return next(parts, None)

    while (part := await sync_to_async(take)()) is not None:
        yield part
