#!/bin/sh
# Makes the virtual environment $1 with a Python that is new enough, unless it is there already.
set -eu

venv=${1:?usage: setup-venv.sh FOLDER}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

if is_new_enough "$venv/bin/python"; then
    exit 0
fi

without_venv=''
for python in python3.13 python3.12 python3.11 python3; do
    # Run it rather than look for it: a version manager's stand-in may be there and not work.
    is_new_enough "$python" || continue
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        without_venv=${without_venv:-$python}
        continue
    fi
    echo "Making $venv with $("$python" --version)"
    exec "$python" -m venv --clear "$venv"
done

{
    if [ -n "$without_venv" ]; then
        version=$("$without_venv" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        echo "Python $version is installed without its venv module, which Debian and Ubuntu pack apart."
        echo "Install it (apt-get install python$version-venv), then run make again."
    else
        found=$(python3 --version 2>/dev/null || echo 'no python3')
        echo "Python 3.11 or later is needed; $found was found."
        echo "Install Python 3.13 with its venv module, then run make again:"
        echo "  Debian 13:          apt-get install python3 python3-venv"
        echo "  Debian 12:          apt-get install python3.11 python3.11-venv"
        echo "  Ubuntu 24.04:       apt-get install python3.12 python3.12-venv"
        echo "  Fedora:             dnf install python3.13"
        echo "  Amazon Linux 2023:  dnf install python3.13"
        echo "  macOS:              brew install python@3.13"
    fi
} >&2
exit 2
