# shellcheck shell=bash
# Python for the test tools that are written in it: each tool in a virtual
# environment of its own in .cache/, pinned by a requirements file. Sourced after
# common.sh, never run. Promises: nothing is installed outside that folder, but for
# Debian's python3-venv where it is missing and this is root.

# Virtualenv's last version for Python 2.7.
readonly VIRTUALENV_FOR_PYTHON2=20.15.1

# is_current VENV REQUIREMENTS: true when VENV holds exactly what REQUIREMENTS says.
is_current() { cmp -s "$1/.requirements" "$2" && [ -x "$1/bin/python" ]; }

# Prints a Python 2.7 that has pip, or fails.
find_python2() {
  local candidate
  for candidate in "$(pyenv prefix 2.7.18 2>/dev/null)/bin/python" "$(command -v python2.7)" "$(command -v pypy)"; do
    if [ -x "$candidate" ] && "$candidate" -m pip --version >/dev/null 2>&1; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  return 1
}

# make_python2_venv PYTHON FOLDER REQUIREMENTS: makes FOLDER/venv.
make_python2_venv() {
  local python=$1 folder=$2 requirements=$3
  local quiet=(--quiet --disable-pip-version-check --no-warn-script-location)
  rm -rf "$folder" && mkdir -p "$folder"
  {
    "$python" -m pip install "${quiet[@]}" --target "$folder/boot" "virtualenv==$VIRTUALENV_FOR_PYTHON2" &&
      PYTHONPATH=$folder/boot "$python" -m virtualenv --quiet --no-periodic-update "$folder/venv" &&
      "$folder/venv/bin/python" -m pip install "${quiet[@]}" -r "$requirements"
  } >"$folder/log" 2>&1 || { tail -n 5 "$folder/log" >&2 && return 1; }
  rm -rf "${folder:?}/boot"
  cp "$requirements" "$folder/venv/.requirements"
}

# Prints a Python 3.10 or newer that can make virtual environments, or fails.
find_python3() {
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
    candidate=$(command -v "$candidate") || continue
    if "$candidate" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  return 1
}

# make_python3_venv FOLDER REQUIREMENTS: makes FOLDER/venv.
make_python3_venv() {
  local folder=$1 requirements=$2 python
  if ! python=$(find_python3); then
    # Debian keeps ensurepip in a package of its own.
    is_root && have apt-get || return 1
    apt_install python3 python3-venv
    python=$(find_python3) || return 1
  fi
  rm -rf "$folder" && mkdir -p "$folder"
  {
    "$python" -m venv "$folder/venv" &&
      "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
  } >"$folder/log" 2>&1 || { tail -n 5 "$folder/log" >&2 && return 1; }
  cp "$requirements" "$folder/venv/.requirements"
}
