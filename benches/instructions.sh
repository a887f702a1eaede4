#!/bin/sh
# Counts the instructions of three questions to the release tool, and compares them with the
# record: unlike times, counts are the same on a busy machine.
#
#   benches/instructions.sh            fails if a count grew by more than 10 %
#   benches/instructions.sh --update   writes a new record
#
# The counts depend on the compiler, so a record of another one is not compared with.
set -eu
cd "$(dirname "$0")/.."
record=benches/instructions.txt
target=${CARGO_TARGET_DIR:-target}
compiler=$(rustc --version --verbose | sed -n 's/^host: //p;1p' | paste -sd' ' -)

case ${1-} in
    '' | --update) ;;
    *) echo "usage: $0 [--update]" >&2; exit 2 ;;
esac

if [ -z "${1-}" ] && [ ! -f "$record" ]; then
    echo "there is no $record yet; make it with --update" >&2
    exit 1
fi

if [ -z "${1-}" ] && ! grep -qxF "# $compiler" "$record"; then
    echo "notice: $record is of another compiler than $compiler; nothing compared"
    exit 0
fi

if ! command -v valgrind >/dev/null; then
    echo "valgrind is missing, installing it" >&2
    apt-get install --yes --quiet valgrind >&2
fi

cargo build --release --quiet --package vhdx-rct-cli
cargo build --release --quiet --package vhdx-rct-fixtures --bin make-bench-disks
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
id=$("$target/release/make-bench-disks" "$folder" instructions)

# Counts one question: its name, the disk, the limit.
count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null --log-file="$folder/log" \
        "$target/release/vhdx-rct" changes "$folder/$2" --since "$3" --format csv >/dev/null
    echo "$1 $(sed -n 's/.*Collected : //p' "$folder/log")"
}

{
    echo "# $compiler"
    count rct-dense tracked.vhdx "$id"
    count bat-scan bat.vhdx '*'
    count bitmap-ragged child.avhdx "file:$folder/parent.vhdx"
} >"$folder/counts"

if [ "${1-}" = --update ]; then
    cp "$folder/counts" "$record"
    cat "$record"
    exit 0
fi

# A question that the record does not have is as bad as one that grew.
awk '
    /^#/ { next }
    NR == FNR { old[$1] = $2; next }
    {
        known = $1 in old && old[$1] > 0
        change = known ? 100 * ($2 / old[$1] - 1) : 0
        bad = !known || change > 10
        failed = failed || bad
        word = bad ? "  FAILS" : change < -10 ? "  less: worth an --update" : ""
        printf "%-14s %12d, recorded %12d: %+6.1f %%%s\n", $1, $2, old[$1], change, word
    }
    END { exit failed }
' "$record" "$folder/counts"
