#!/bin/sh
# Builds changes.c against the C interface and runs it: crates/capi/examples/c.sh [DISK BASELINE]
# Prints what the tool's `changes --format csv` prints. With MEMCHECK set, under valgrind.
set -eu
cd "$(dirname "$0")/../../.."
target=${CARGO_TARGET_DIR:-target}
cargo build --quiet --release -p vhdx-rct-capi
program=$target/release/changes-c
"${CC:-cc}" -std=c11 -Wall -Wextra -Werror -O2 -Icrates/capi/include crates/capi/examples/changes.c -o "$program" \
    "$target/release/libvhdx_rct_capi.a" -lpthread -ldl -lm
[ $# -gt 0 ] || set -- testdata/child.avhdx file:testdata/base.vhdx
${MEMCHECK:+valgrind --quiet --leak-check=full --show-leak-kinds=all --error-exitcode=3} "$program" "$@"
