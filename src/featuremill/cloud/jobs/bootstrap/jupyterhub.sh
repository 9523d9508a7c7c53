#!/bin/bash
# Replaces the published password of JupyterHub's administrator, jovyan: a step on the primary.
# Arguments: name of the SSM parameter that holds the new one, region.
set -euo pipefail

parameter=$1
region=$2

password=$(aws ssm get-parameter --with-decryption --name "$parameter" --region "$region" \
    --query Parameter.Value --output text)

for _ in $(seq 60); do
    sudo docker exec jupyterhub true 2>/dev/null && break
    sleep 5
done

# by standard input, so that no list of processes shows it
printf 'jovyan:%s\n' "$password" | sudo docker exec --interactive jupyterhub chpasswd
