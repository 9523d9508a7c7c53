#!/bin/sh
# Starts JupyterLab in the container. Whoever gets in runs code there: without a token it refuses.
set -eu

token=${JUPYTER_TOKEN:-}
if [ "${#token}" -lt 16 ]; then
    {
        echo "JUPYTER_TOKEN has ${#token} characters, and must have at least 16: whoever knows it"
        echo "runs code here. Set it in .env (see .env.example), for example to what this prints:"
        echo "  openssl rand -hex 32"
    } >&2
    exit 2
fi
# JupyterLab reads the token from the environment; as an argument every process could see it.
exec jupyter lab --no-browser --ip=0.0.0.0 --port=8888 --ServerApp.port_retries=0
