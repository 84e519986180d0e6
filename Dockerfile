# The code location, the webserver and the daemon of docker-compose.yml; and the music-lakehouse command.
# Bookworm: later Debians have no OpenJDK 17.
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends openjdk-17-jre-headless procps \
    && rm -rf /var/lib/apt/lists/*

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1
WORKDIR /app

# What changes seldom comes first: packages, then jars, then the code.
COPY requirements.lock ./
RUN pip install --require-hashes --requirement requirements.lock

COPY ivy.xml ./
COPY music_lakehouse/__init__.py music_lakehouse/jars.py music_lakehouse/
RUN python -m music_lakehouse.jars

COPY pyproject.toml README.md LICENSE ./
COPY music_lakehouse music_lakehouse
RUN pip install --no-deps --no-build-isolation --editable .

# Volumes that are mounted at /data for the first time take its owner.
RUN useradd --create-home --uid 1000 lakehouse && mkdir -p /data/lake /data/logs /data/dagster && chown -R lakehouse /data
COPY --chown=lakehouse docker docker
USER lakehouse
ENV DAGSTER_HOME=/app/docker DAGSTER_LOGS=/data/logs \
    LAKEHOUSE_ROOT=/data/lake/lakehouse REFERENCE_ROOT=/data/lake/reference LANDING_ROOT=/data/lake/landing

CMD ["music-lakehouse", "--help"]
