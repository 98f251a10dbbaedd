# What ./run and ./test share: a Python environment in .venv and, for root on Debian, the packages that are missing.
# Sourced, not run, with the root of the checkout as the current directory. Prints to standard error only.

say() {
    printf 'thingstead: %s\n' "$*" >&2
}

give_up() {
    say "$*"
    exit 1
}

can_install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null
}

# quietly WHAT COMMAND...: the output is shown only as the one line that says why WHAT failed.
quietly() {
    what=$1
    shift
    log=$(mktemp "${TMPDIR:-/tmp}/thingstead-setup.XXXXXX") || give_up "cannot write to ${TMPDIR:-/tmp}"
    if "$@" >"$log" 2>&1 </dev/null; then
        rm -f "$log"
    else
        why=$(sed -nE 's,^ *((ERROR|E|Error): .*),\1,p' "$log" | tail -n 1)
        [ -n "$why" ] || why=$(tail -n 1 "$log")
        say "$what failed: $why (all of it: $log)"
        return 1
    fi
}

# RUNLEVEL=1 keeps the packages' init scripts from starting services: the tests start their own.
install_debian() {
    say "installing $* (apt-get)"
    quietly "apt-get update" apt-get update -q &&
        quietly "apt-get install $*" \
            env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -qy --no-install-recommends "$@"
}

# Debian's python3 comes without the modules that make an environment.
need_python() {
    if ! command -v python3 >/dev/null || ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        can_install || give_up "needs Python 3.11 or newer with venv; as root on Debian: apt-get install python3-venv"
        install_debian python3 python3-venv || exit 1
    fi
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        give_up "needs Python 3.11 or newer, python3 is $(python3 -V)"
}

# set_up_python KIND (run or test): .venv with thingstead in it; asks no index while pyproject.toml and the place stay as they were.
set_up_python() {
    want="$(cksum <pyproject.toml) $PWD"
    [ -x .venv/bin/python ] && [ "$(cat ".venv/.set-up-$1" 2>/dev/null)" = "$want" ] && return
    (
        # Two commands started at once must not install into each other; the lock ends with this subshell.
        exec 9<.
        ! command -v flock >/dev/null || flock 9
        [ -x .venv/bin/python ] && [ "$(cat ".venv/.set-up-$1" 2>/dev/null)" = "$want" ] && exit
        if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
            need_python
            clear=
            [ ! -e .venv ] || .venv/bin/python -c '' 2>/dev/null || clear=--clear
            quietly "making .venv" python3 -m venv $clear .venv || exit 1
        fi
        say "installing Python packages into .venv"
        pip=".venv/bin/python -m pip --quiet --disable-pip-version-check --no-input"
        if [ "$1" = test ]; then
            quietly "upgrading pip" $pip install --upgrade pip &&
                quietly "pip install" $pip install --editable . --group dev || exit 1
        else
            quietly "pip install" $pip install --editable . || exit 1
        fi
        rm -f .venv/.set-up-*
        printf '%s' "$want" >.venv/.set-up-run
        [ "$1" = run ] || printf '%s' "$want" >.venv/.set-up-test
    ) || exit 1
}
