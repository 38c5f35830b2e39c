# One stage: everything the lock file names comes as a wheel, so there is no compiler to leave behind.
FROM python:3.12-slim

# PyTorch for processors alone, 200 MB. For NVIDIA GPUs, gigabytes more: --build-arg PIP_EXTRA_INDEX_URL=
ARG PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu

ENV PYTHONUNBUFFERED=1 \
    DATA_DIR=/data \
    HF_HOME=/models \
    HOST=0.0.0.0 \
    PORT=8000

# The folders belong to the user here, and so do the volumes that Docker makes for them.
RUN useradd --create-home --uid 1000 assetsearch \
    && install --directory --owner assetsearch --group assetsearch "$DATA_DIR" "$HF_HOME"

WORKDIR /app
COPY requirements.lock ./
RUN pip install --no-cache-dir --disable-pip-version-check --requirement requirements.lock
COPY manage.py LICENSE ./
COPY assetsearch assetsearch
COPY gallery gallery
COPY search search
COPY locale locale
COPY templates templates
RUN python -m whitenoise.compress --quiet assetsearch/static/dist \
    && python -m whitenoise.compress --quiet "$(python -c 'from django.contrib import admin; print(*admin.__path__)')/static"

USER assetsearch
VOLUME ["/data", "/models"]
EXPOSE 8000

# By localhost, a name that always answers; the start period covers the download of the encoder's weights.
HEALTHCHECK --interval=10s --timeout=5s --start-period=15m --start-interval=2s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://localhost:{os.environ['PORT']}/healthz\", timeout=4)"]

# All in one container, with the embedded Postgres. docker-compose.yml runs each part in its own.
CMD ["python", "manage.py", "up"]
