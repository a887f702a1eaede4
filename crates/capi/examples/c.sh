#!/bin/sh
# Builds examples/changes.c against the C interface and runs it: examples/c.sh [DISK LIMIT]
# Prints what the tool's `changes --format csv` prints. With MEMCHECK set, under valgrind.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
cargo rustc --quiet --release --lib --features capi --crate-type staticlib
program=$target/release/changes-c
"${CC:-cc}" -std=c11 -Wall -Wextra -Werror -O2 -Iinclude examples/changes.c -o "$program" \
    "$target/release/libvhdx_rct.a" -lpthread -ldl -lm
[ $# -gt 0 ] || set -- testdata/child.avhdx file:testdata/base.vhdx
${MEMCHECK:+valgrind --quiet --leak-check=full --show-leak-kinds=all --error-exitcode=3} "$program" "$@"
