#!/bin/sh
# Prints the path of LibreOffice's soffice, with which the tests look at slides, installing
# Impress and Poppler where they are missing and the user may. Everything else is said on stderr.
# Exit 2: there is none, and what to do was printed.
set -eu

find_office() {
    for office in "$(command -v soffice || true)" "$(command -v libreoffice || true)" \
        /usr/bin/soffice /Applications/LibreOffice.app/Contents/MacOS/soffice; do
        if [ -x "$office" ]; then
            echo "$office"
            return
        fi
    done
}

complete() {
    [ -n "$(find_office)" ] && command -v pdftotext >/dev/null 2>&1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

if ! complete && command -v apt-get >/dev/null 2>&1 &&
    { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
    echo "LibreOffice Impress or Poppler is missing: installing both with apt-get" >&2
    as_root apt-get update -q </dev/null >&2 || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends \
        libreoffice-impress poppler-utils </dev/null >&2 || true
fi
if ! complete; then
    {
        echo "LibreOffice Impress and Poppler look at slides in the tests. Install them with"
        if command -v brew >/dev/null 2>&1; then
            echo "  brew install --cask libreoffice && brew install poppler"
        else
            echo "  sudo apt-get install --no-install-recommends libreoffice-impress poppler-utils"
        fi
    } >&2
    exit 2
fi
find_office
