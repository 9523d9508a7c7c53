#!/bin/bash
# Makes one machine of Amazon Linux 2023 a place for notebooks; run as root when it first starts.
# Arguments: archive (s3://…tar.gz), bucket, region, name of the SSM parameter with JupyterLab's
# token, lock files (s3://…lock) of what to install, one after the other. When the machine ends,
# first.sh has set.
set -euo pipefail

archive=$1
bucket=$2
region=$3
parameter=$4
shift 4

folder=/opt/featuremill
home=/home/jupyter
dnf install --assumeyes --quiet python3.11 python3.11-pip java-17-amazon-corretto-headless
useradd --create-home --home-dir "$home" jupyter
mkdir --parents "$folder/deps"
aws s3 cp --only-show-errors "$archive" - | tar --extract --gzip --directory "$folder/deps" \
    --no-same-owner
chmod --recursive a+rX "$folder"

python3.11 -m venv "$folder/venv"
# by their hashes alone; Spark comes as source, and what builds it is locked too
for lock in "$@"; do
    aws s3 cp --only-show-errors "$lock" "$folder/packages.lock"
    "$folder/venv/bin/pip" install --quiet --only-binary :all: --no-binary pyspark \
        --no-build-isolation --require-hashes --requirement "$folder/packages.lock"
done

token=$(aws ssm get-parameter --with-decryption --name "$parameter" --region "$region" \
    --query Parameter.Value --output text)
install --mode 600 /dev/null "$folder/environment"
cat >"$folder/environment" <<END
JUPYTER_TOKEN=$token
PYTHONPATH=$folder/deps
PYSPARK_PYTHON=$folder/venv/bin/python
FEATUREMILL_BUCKET=$bucket
AWS_DEFAULT_REGION=$region
END

# notebooks outlive the machine: fetched now, put back every five minutes and at the end
notebooks=s3://$bucket/notebooks/server
mkdir --parents "$home/notebooks"
aws s3 sync --only-show-errors "$notebooks" "$home/notebooks"
chown --recursive jupyter:jupyter "$home"

cat >/etc/systemd/system/jupyter.service <<END
[Unit]
Description=JupyterLab, on this machine only
After=network-online.target
[Service]
User=jupyter
WorkingDirectory=$home/notebooks
EnvironmentFile=$folder/environment
ExecStart=$folder/venv/bin/jupyter lab --no-browser --ip=127.0.0.1 --port=8888
Restart=on-failure
[Install]
WantedBy=multi-user.target
END

cat >/etc/systemd/system/keep.service <<END
[Unit]
Description=Copy notebooks to the bucket
[Service]
# as who writes them: a link among notebooks must not send what only root may read
User=jupyter
Type=oneshot
ExecStart=/usr/bin/aws s3 sync --only-show-errors --no-follow-symlinks \
    --exclude .ipynb_checkpoints/* $home/notebooks $notebooks
END

cat >/etc/systemd/system/keep.timer <<END
[Timer]
OnActiveSec=5min
OnUnitActiveSec=5min
[Install]
WantedBy=timers.target
END

cat >/etc/systemd/system/keep-last.service <<END
[Unit]
Description=Copy notebooks to the bucket before the machine ends
After=network-online.target
[Service]
User=jupyter
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/true
ExecStop=/usr/bin/aws s3 sync --only-show-errors --no-follow-symlinks \
    --exclude .ipynb_checkpoints/* $home/notebooks $notebooks
[Install]
WantedBy=multi-user.target
END

systemctl daemon-reload
systemctl enable --now jupyter.service keep.timer keep-last.service

# only then is it of use
for _ in $(seq 60); do
    curl --silent --fail --output /dev/null http://127.0.0.1:8888/api && exit
    sleep 2
done
journalctl --unit jupyter.service --no-pager --lines 30
echo "JupyterLab does not answer" >&2
exit 1
