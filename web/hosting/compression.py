"""Compression of responses: pages, and the static files that are text."""

from __future__ import annotations

from flask import Flask, Response, request
from flask_compress import Compress


def init_app(app: Flask) -> None:
    """Compress what ``app`` answers, except what it streams."""
    app.config.from_mapping(
        COMPRESS_REGISTER=False,
        COMPRESS_STREAMS=False,
        COMPRESS_ALGORITHM=["br", "zstd", "gzip"],
        COMPRESS_BR_LEVEL=3,  # 6 makes pages a sixth smaller and takes three times as long
    )
    compress = Compress(app)

    @app.after_request
    def shrink(response: Response) -> Response:
        if request.endpoint == "static":
            if response.status_code != 200 or response.mimetype not in compress.compress_mimetypes_set:
                return response  # a part of a file has its place in the whole; pictures are small already
            response.direct_passthrough = False
            response.make_sequence()  # not a stream: the whole file
        elif 300 <= response.status_code < 400 or _would_tell_secrets():  # a redirect's page is seen by nobody
            return response
        return compress.after_request(response)


def _would_tell_secrets() -> bool:
    """Return whether another site asks for a page of a visitor who is known here.

    A page can repeat words of its address beside a secret, such as the id of a sign-in under way. Compressed, its
    length would tell a listener on the network how well those words guess the secret (https://www.breachattack.com).
    Guessing takes many requests that another site makes the browser send. Browsers tell where a request comes from;
    of those that are too old for that, the ones with words in their address count.
    """
    usual = "cross-site" if request.query_string else "none"
    return request.headers.get("Sec-Fetch-Site", usual) not in ("same-origin", "none") and bool(request.cookies)
