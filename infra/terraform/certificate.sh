#!/bin/sh
# Makes the certificate by which a cluster's nodes talk to each other, as `featuremill cloud cluster
# up` does, and puts it in the bucket unless there is one.
# Arguments: bucket, region. It needs openssl, python3 and the AWS command line.
set -eu
umask 077

bucket=$1
region=$2
key=tls/certificates.zip

found=$(aws s3api list-objects-v2 --no-paginate --region "$region" --bucket "$bucket" \
    --prefix "$key" --query KeyCount --output text)
if [ "$found" != 0 ]; then
    exit 0
fi

domain=$region.compute.internal
if [ "$region" = us-east-1 ]; then
    domain=ec2.internal
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
openssl req -x509 -newkey rsa:2048 -nodes -sha256 -days 3650 -subj "/CN=*.$domain" \
    -addext "subjectAltName=DNS:*.$domain,DNS:localhost" \
    -keyout privateKey.pem -out certificateChain.pem 2>openssl.log || {
    cat openssl.log >&2
    exit 1
}
# it vouches for itself
cp certificateChain.pem trustedCertificates.pem
python3 -m zipfile -c certificates.zip privateKey.pem certificateChain.pem trustedCertificates.pem
aws s3 cp --only-show-errors --region "$region" certificates.zip "s3://$bucket/$key"
