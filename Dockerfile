# Another base must have Python 3.11 or later as `python`, with pip.
ARG BASE=python:3.13-slim-trixie
FROM ${BASE}

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

WORKDIR /app

COPY requirements.txt ./
# Wheels only: nothing is compiled, so the image needs no compiler. The versions are pinned, with hashes, in the file.
RUN python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
    --only-binary=:all: --require-hashes -r requirements.txt

COPY app.py ./
COPY misskey/ misskey/
COPY demo/ demo/
COPY web/ web/
COPY templates/ templates/
COPY static/ static/
COPY translations/ translations/

# All that the app keeps is in /data, and it can write nowhere else. Tried out without settings, it makes its own secret
# key in instance/, which is there too. A new volume takes over the owner of the folder that it covers.
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin miauth \
    && install --directory --owner=miauth --group=miauth --mode=700 /data \
    && ln -s /data instance
USER 10001
# hadolint ignore=DL3064 # the name of a file
ENV MIAUTH_TOKEN_STORE=sqlite:////data/tokens.sqlite3
VOLUME /data

EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open(f'http://127.0.0.1:{os.environ.get(\"PORT\") or 8000}/healthz', timeout=4)"]

# In a container the loopback address is of no use; who can reach the port is for `docker run --publish` to say.
# The shell is there for PORT, which many hosts choose; `exec` leaves its place, and the signals, to gunicorn.
CMD ["sh", "-c", "exec python -m gunicorn --config web/gunicorn.conf.py --bind \"0.0.0.0:${PORT:-8000}\" 'app:create_app()'"]
