# Another base, of Debian or akin, must have Python 3.11 or later as `python`, with venv and pip: docker build --build-arg
# BASE=... . The digest names exactly one image, whatever the tag leads to by now; .github/workflows/updates.yml writes it
# anew.
ARG BASE=python:3.13-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM ${BASE} AS built
# Wheels only: nothing is compiled, so this needs no compiler. The versions are pinned, with hashes, in the file.
COPY requirements.txt /
RUN python -m venv --without-pip /venv \
    && python -m pip --python /venv/bin/python install --no-cache-dir --disable-pip-version-check \
        --root-user-action=ignore --only-binary=:all: --require-hashes -r /requirements.txt
WORKDIR /app
COPY app.py ./
COPY misskey/ misskey/
COPY demo/ demo/
COPY web/ web/
COPY templates/ templates/
COPY static/ static/
COPY translations/ translations/
# Whatever the umask of whoever cloned it, the app may read it. And it starts sooner when nothing is left to compile.
RUN chmod -R u=rwX,go=rX /app && python -m compileall -q . \
    && ln -s /data instance

FROM ${BASE}
# All that the app keeps is in /data, and it can write nowhere else. Tried out without settings, it makes its own secret
# key in instance/, which is there too. A new volume takes over the owner of the folder that it covers; VOLUME would make one
# for each container that is given none, and some platforms refuse to build it.
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin miauth \
    && install --directory --owner=miauth --group=miauth --mode=700 /data
COPY --from=built /venv /venv
COPY --from=built /app /app
WORKDIR /app
USER 10001
# hadolint ignore=DL3064 # the name of a file
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 MIAUTH_TOKEN_STORE=sqlite:////data/tokens.sqlite3

EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open(f'http://127.0.0.1:{os.environ.get(\"PORT\") or 8000}/healthz', timeout=4)"]

# In a container the loopback address is of no use; who can reach the port is for `docker run --publish` to say.
# The shell is there for what hosts choose, also where they leave it empty; `exec` leaves its place, and the signals, to
# gunicorn. HOST=[::] is for a network that has IPv6.
CMD ["sh", "-c", "exec env WEB_CONCURRENCY=\"${WEB_CONCURRENCY:-2}\" python -m gunicorn --config web/gunicorn.conf.py --bind \"${HOST:-0.0.0.0}:${PORT:-8000}\" 'app:create_app()'"]
