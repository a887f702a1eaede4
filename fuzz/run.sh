#!/usr/bin/env bash
# Fuzzes: fuzz/run.sh SECONDS [TARGET | TARGET=SECONDS]...
#
# Each target (all, unless some are named) runs for that long, as many at a time as JOBS says
# (two where there are two cores), on a copy of the shipped corpus that grows in
# fuzz/target/SANITIZER/corpus. Fails on any crash, timeout, leak or excess of memory; the input is then
# in fuzz/artifacts/TARGET. SANITIZER is `address` (the default, which also finds leaks) or
# `none` (faster). Needs a C++ compiler, and no toolchain but the stable one.
set -euo pipefail

usage() {
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

[[ ${1-} =~ ^[1-9][0-9]*$ ]] || usage
seconds=$1
shift

fuzz=$(cd "$(dirname "$0")" && pwd)
sanitizer=${SANITIZER:-address}
build=$fuzz/target/$sanitizer
cores=$(nproc 2>/dev/null || echo 1)
jobs=${JOBS:-$((cores > 1 ? 2 : 1))}
mapfile -t all < <(sed -n 's|^path = "fuzz_targets/\(.*\)\.rs"$|\1|p' "$fuzz/Cargo.toml")
targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=("${all[@]}")
for target in "${targets[@]}"; do
    [[ " ${all[*]} " == *" ${target%%=*} "* ]] || { echo "no target ${target%%=*}" >&2; usage; }
done

# The length of what an input describes, in bytes.
max_len() {
    case $1 in
        rct_id) echo 128 ;;
        chain | bat_bitmap | vhds) echo 2048 ;;
        header_regions | metadata | snapshot_json) echo 4096 ;;
        *) echo 8192 ;;
    esac
}

cargo_fuzz() {
    if ! command -v cargo-fuzz >/dev/null && [[ ! -x $fuzz/target/tools/bin/cargo-fuzz ]]; then
        cargo install --debug --locked --root "$fuzz/target/tools" cargo-fuzz --version 0.13.2
    fi
    PATH=$fuzz/target/tools/bin:$PATH
    # Instrumentation is behind an unstable flag; the compiler itself is the stable one.
    RUSTC_BOOTSTRAP=1 RUSTC_WRAPPER=$fuzz/instrument.sh cargo fuzz "$@"
}

# Leaks are looked for at the end of a run only: the targets keep what they share, and after
# each input that looks like a leak.
fuzz_one() {
    local target=${1%%=*} time=$seconds log
    [[ $1 == *=* ]] && time=${1#*=}
    log=$build/log/$target.log
    mkdir -p "$build/corpus/$target" "$fuzz/artifacts/$target"
    cp "$fuzz/corpus/$target"/* "$build/corpus/$target/"
    ASAN_OPTIONS=${ASAN_OPTIONS:-quarantine_size_mb=4:malloc_context_size=3} \
        "$build/$triple/release/$target" "$build/corpus/$target" \
        -artifact_prefix="$fuzz/artifacts/$target/" -dict="$fuzz/vhdx.dict" \
        -max_total_time="$time" -max_len="$(max_len "$target")" -timeout=10 \
        -rss_limit_mb=1024 -malloc_limit_mb=300 -print_final_stats=1 -detect_leaks=0 \
        >"$log" 2>&1 && echo ok >"$build/log/$target.result" || true
}

# One line of the table, and what went wrong.
report() {
    local target=$1 log=$build/log/$1.log runs cov corpus rss result
    stat() { sed -n "s/^stat::$1: *//p" "$log" | tail -1; }
    runs=$(stat number_of_executed_units)
    rss=$(stat peak_rss_mb)
    cov=$(sed -n 's/.* cov: \([0-9]*\) ft: \([0-9]*\) .*/\1 \2/p' "$log" | tail -1)
    corpus=$(find "$build/corpus/$target" -type f | wc -l)
    result=ok
    if [[ ! -e $build/log/$target.result ]]; then
        result=$(sed -n 's/^SUMMARY: //p' "$log" | tail -1)
        result="FAILED: ${result:-no summary}"
    fi
    # shellcheck disable=SC2086
    printf '%-15s %12s %8s %9s %7s %5s  %s\n' \
        "$target" "${runs:--}" ${cov:-- -} "$corpus" "${rss:--}" "$result"
}

triple=$(rustc -vV | sed -n 's/^host: //p')
cd "$fuzz/.."
cargo_fuzz build --fuzz-dir "$fuzz" --target-dir "$build" --sanitizer "$sanitizer"
mkdir -p "$build/log"
for target in "${targets[@]}"; do
    rm -f "$build/log/${target%%=*}.result"
done

trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
for target in "${targets[@]}"; do
    while (($(jobs -pr | wc -l) >= jobs)); do wait -n || true; done
    echo "$(date +%T) $target"
    fuzz_one "$target" &
done
wait

failed=0
printf '\n%-15s %12s %8s %9s %7s %5s  %s\n' target runs coverage features corpus MB result
for target in "${targets[@]}"; do
    report "${target%%=*}"
    [[ -e $build/log/${target%%=*}.result ]] || failed=1
done
for target in "${targets[@]}"; do
    target=${target%%=*}
    [[ -e $build/log/$target.result ]] && continue
    echo
    echo "== $target"
    grep -A12 -E "panicked at|^==[0-9]+== *ERROR|^SUMMARY|Test unit written" \
        "$build/log/$target.log" | head -60 || true
done
exit $failed
