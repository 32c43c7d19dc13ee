# The image of production: vmhub with the dbt project, and nothing of the local stack or the tests.
#   docker build --build-arg GOOGLE_CLOUD_PROJECT=my-project --tag vmhub .
# docs/operations.md says how to name the base by its digest and how to run with a read-only disk.

ARG BASE=python:3.11-slim
FROM ${BASE} AS packages
RUN python -m venv /opt/vmhub
WORKDIR /source
# Before our own code, so that a change of it does not install all packages again.
COPY requirements-run.lock ./
RUN /opt/vmhub/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
    --require-hashes --no-deps --requirement requirements-run.lock
COPY pyproject.toml README.md ./
COPY console console
COPY loader loader
COPY whatsapp whatsapp
RUN /opt/vmhub/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
    --no-deps --no-build-isolation .

FROM ${BASE}
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin vmhub
COPY --from=packages /opt/vmhub /opt/vmhub
WORKDIR /project
COPY dbt_project.yml selectors.yml ./
COPY profiles.yml.example profiles.yml
COPY macros macros
COPY models models
COPY seeds seeds
# The gate: dbt reads its tests from here.
COPY tests/dbt tests/dbt
ENV PATH=/opt/vmhub/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DBT_PROJECT_DIR=/project \
    DBT_PROFILES_DIR=/project \
    DBT_TARGET=prod
# The only folder that is written to, beside /tmp: dbt's parse and logs.
RUN mkdir .vmhub && chown vmhub .vmhub
# By number, so that a platform which refuses root sees that this is somebody else.
USER 10001
# dbt's parse is saved where runs look for it; this saves about three seconds of CPU at each start. dbt
# uses it only with the same profile, which includes the Google Cloud project; otherwise it parses again.
ARG GOOGLE_CLOUD_PROJECT=not-named-at-build
RUN dbt --quiet --no-send-anonymous-usage-stats parse --target-path .vmhub/dbt/parse \
    --log-path /tmp/dbt-logs
# Fails the build if the image has no time zones: a laundromat's day depends on its time zone.
RUN python -c "import zoneinfo; zoneinfo.ZoneInfo('America/Sao_Paulo')"
ENTRYPOINT ["vmhub"]
CMD ["run", "--all"]
