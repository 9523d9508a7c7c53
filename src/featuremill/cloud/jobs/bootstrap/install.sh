#!/bin/bash
# Installs featuremill on one node of a cluster: a bootstrap action, run as hadoop on every node.
# Arguments: archive (s3://…tar.gz), entry point (s3://…py), folder to install to, and a lock file
# (s3://…lock) of packages to have as well, if any.
set -euo pipefail

archive=$1
entry=$2
folder=$3

command -v python3.11 >/dev/null || sudo dnf install --assumeyes --quiet python3.11

sudo mkdir --parents "$folder/deps"
# no file of its own: a node's disk is small, and the archive is read once
aws s3 cp --only-show-errors "$archive" - | sudo tar --extract --gzip --directory "$folder/deps" \
    --no-same-owner
aws s3 cp --only-show-errors "$entry" - | sudo tee "$folder/job.py" >/dev/null
sudo chmod --recursive a+rX "$folder"

# what was built for another processor fails here, and says so, instead of in every task
PYTHONPATH="$folder/deps" python3.11 -c "import numpy, pyarrow, onnxruntime, featuremill"

# what a notebook draws with; a cluster without it is still of use
if [ $# -gt 3 ]; then
    { sudo dnf install --assumeyes --quiet python3.11-pip \
        && aws s3 cp --only-show-errors "$4" - | sudo tee "$folder/packages.lock" >/dev/null \
        && sudo env PYTHONPATH="$folder/deps" python3.11 -m pip install --quiet \
            --only-binary :all: --require-hashes --requirement "$folder/packages.lock"; } \
        || echo "not installed: $4" >&2
fi

# the way in for people: no port is open
sudo systemctl enable --now amazon-ssm-agent \
    || sudo dnf install --assumeyes --quiet amazon-ssm-agent \
    || echo "no SSM agent: this node cannot be reached by port forwarding" >&2
