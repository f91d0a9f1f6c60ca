#!/bin/sh
# The shared libraries that VTK and Qt load at run time, and Python's venv: installed when root on Debian or Ubuntu,
# else asked for in one line.
set -eu
PACKAGES="python3-venv libgl1 libegl1 libopengl0 libglx0 libxkbcommon0 libdbus-1-3 libfontconfig1 libfreetype6 libglib2.0-0 fonts-dejavu-core"
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Prognosis needs Python 3.11 or newer; run: make PYTHON=/path/to/python3.11" >&2
    exit 1
}
command -v dpkg-query >/dev/null 2>&1 || exit 0
missing=""
for package in $PACKAGES; do
    # Newer Ubuntu releases carry some of these with the suffix t64.
    dpkg-query -W -f '${Status}\n' "$package" "${package}t64" 2>/dev/null | grep -q "ok installed" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "These packages are needed first; run: sudo apt-get install$missing" >&2
    exit 1
fi
