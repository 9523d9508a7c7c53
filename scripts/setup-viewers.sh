#!/bin/sh
# Installs what the tests look at reports and slides with, where it is missing and the user may:
# Chromium, LibreOffice Impress and Poppler. Exit 2: something is missing, and how to get it was
# printed; the tests that need it skip.
set -eu

have() {
    for name in "$@"; do
        if command -v "$name" >/dev/null 2>&1 || [ -x "$name" ]; then return; fi
    done
    return 1
}

# A package may leave a command that only says how to install the browser.
answers() {
    for name in "$@"; do
        if "$name" --version >/dev/null 2>&1; then return; fi
    done
    return 1
}

missing() {
    answers "${FEATUREMILL_CHROMIUM:-chromium}" chromium-browser google-chrome \
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" || printf ' chromium'
    have soffice libreoffice /Applications/LibreOffice.app/Contents/MacOS/soffice ||
        printf ' libreoffice-impress'
    have pdftotext || printf ' poppler-utils'
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

packages=$(missing)
if [ -n "$packages" ] && have apt-get && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
    echo "Installing$packages with apt-get" >&2
    as_root apt-get update -q </dev/null >&2 || true
    # shellcheck disable=SC2086  (several packages)
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends \
        $packages </dev/null >&2 || true
    packages=$(missing)
fi
if [ -n "$packages" ]; then
    {
        echo "Missing, so that some tests skip:$packages. Install with"
        if have brew; then
            echo "  brew install --cask chromium libreoffice && brew install poppler"
        else
            echo "  sudo apt-get install --no-install-recommends$packages"
        fi
    } >&2
    exit 2
fi
