# JupyterLab with featuremill and the packages of its notebooks, and, as the target `deploy`, with
# the AWS CLI and Terraform as well. The commands are in docs/docker.md.
#
# Images are pinned by digest too: those that public repositories write beside these tags, since no
# registry could be asked where this was written. Debian 12, because it packs Java 17; Python 3.11,
# because clusters run it.
FROM python:3.11.15-slim-bookworm@sha256:d29f48a31a8b408ed19272ca1e7b10ebae13b240a27e862d3d4217c528e2e0c3 AS notebook

RUN apt-get update \
    && apt-get install --yes --no-install-recommends openjdk-17-jre-headless \
    && rm -rf /var/lib/apt/lists/*

# On Linux `id -u`, so that the files written to a shared folder are yours.
ARG USER_ID=1000
RUN useradd --create-home --uid "$USER_ID" --shell /bin/bash featuremill \
    && cd /home/featuremill \
    && install --directory --owner featuremill --group featuremill --mode 700 .aws .cache folder

ENV PATH=/opt/featuremill/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1

# As in the Makefile: Spark comes as source, and what builds it is pinned too.
WORKDIR /opt/source
COPY requirements/build.lock requirements/assets.lock requirements/notebook.lock requirements/
RUN python -m venv /opt/featuremill \
    && pip install --only-binary :all: --require-hashes -r requirements/build.lock \
    && pip install --no-build-isolation --require-hashes -r requirements/notebook.lock

COPY LICENSE README.md hatch_build.py pyproject.toml ./
COPY notebooks/featuremill.ipynb notebooks/featuremill.fr.ipynb notebooks/
COPY src src
# Plotly only while this is built, which packs its script.
RUN pip install --only-binary :all: --no-deps --target /tmp/assets \
        --require-hashes -r requirements/assets.lock \
    && PYTHONPATH=/tmp/assets pip install --no-build-isolation --no-deps . \
    && rm -r /tmp/assets
COPY scripts/start-jupyter.sh scripts/

USER featuremill
WORKDIR /home/featuremill/folder
EXPOSE 8888
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8888/api')"]
CMD ["sh", "/opt/source/scripts/start-jupyter.sh"]


FROM hashicorp/terraform:1.11.4@sha256:5820b87995595425074f881500a037b0ccd41158d0d9b44d78f5f120612f2d3d AS terraform
FROM amazon/aws-cli:2.37.5@sha256:fb7ccfc7b4e3a05017e6c9ded4ba959b99af622130e211fb976c68c2f4d3f224 AS aws

FROM notebook AS deploy
COPY --from=terraform /bin/terraform /usr/local/bin/terraform
COPY --from=aws /usr/local/aws-cli /usr/local/aws-cli
ENV PATH=/usr/local/aws-cli/v2/current/bin:$PATH
HEALTHCHECK NONE
CMD ["featuremill", "cloud", "doctor"]
