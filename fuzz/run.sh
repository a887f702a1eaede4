#!/usr/bin/env bash
# Fuzzes: fuzz/run.sh SECONDS [TARGET]...
#
# Runs each target (all by default) for SECONDS, JOBS at a time (by default two if there are two
# cores), on its seeds and on a corpus that grows in fuzz/target/SANITIZER/corpus. Fails on any
# crash, timeout, leak or excess of memory; the input is then in fuzz/artifacts/TARGET. SANITIZER
# is `address` (the default, which also finds leaks) or `none` (faster). Needs a C++ compiler, and
# no toolchain but the stable one.
set -euo pipefail

fuzz=$(cd "$(dirname "$0")" && pwd)
mapfile -t all < <(sed -n 's|^path = "fuzz_targets/\(.*\)\.rs"$|\1|p' "$fuzz/Cargo.toml")
usage() {
    echo "usage: fuzz/run.sh SECONDS [$(IFS='|' && echo "${all[*]}")]..." >&2
    exit 2
}
[[ ${1-} =~ ^[1-9][0-9]*$ ]] || usage
seconds=$1
shift
for target in "$@"; do
    [[ " ${all[*]} " == *" $target "* ]] || usage
done
[[ $# -gt 0 ]] || set -- "${all[@]}"
sanitizer=${SANITIZER:-address}
build=$fuzz/target/$sanitizer
programs=$build/$(rustc -vV | sed -n 's/^host: //p')/release

export PATH=$fuzz/target/tools/bin:$PATH
command -v cargo-fuzz >/dev/null ||
    cargo install --debug --locked --root "$fuzz/target/tools" cargo-fuzz --version 0.13.2
cd "$fuzz"
cargo run --quiet --target-dir "$fuzz/target" --example seeds -- "$build/corpus"
# Instrumentation needs an unstable flag; the compiler itself is the stable one.
RUSTC_BOOTSTRAP=1 RUSTC_WRAPPER=$fuzz/instrument.sh \
    cargo fuzz build --fuzz-dir . --target-dir "$build" --sanitizer "$sanitizer"

# Leaks are looked for at the end of a run only: the targets keep what they share, and after each
# input that looks like a leak.
fuzz_one() {
    local target=$1 log=$build/log/$1.log result=ok
    mkdir -p "$build/log" "$fuzz/artifacts/$target"
    ASAN_OPTIONS=${ASAN_OPTIONS:-quarantine_size_mb=4:malloc_context_size=3} \
        "$programs/$target" "$build/corpus/$target" \
        -artifact_prefix="$fuzz/artifacts/$target/" -dict="$fuzz/vhdx.dict" \
        -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=1024 \
        -malloc_limit_mb=300 -print_final_stats=1 -detect_leaks=0 >"$log" 2>&1 || result=FAILED
    stat() { sed -n "s/^stat::$1: *//p" "$log"; }
    printf '%-15s %10s runs  %s  %4s MB  %s\n' "$target" "$(stat number_of_executed_units)" \
        "$(grep -o 'cov: .* corp: [0-9]*' "$log" | tail -1)" "$(stat peak_rss_mb)" "$result"
    [[ $result == ok ]] && return
    grep -A12 -E "panicked at|^==[0-9]+== *ERROR|^SUMMARY|Test unit written" "$log" | head -60
    return 1
}
export -f fuzz_one
export fuzz build programs seconds
cores=$(nproc 2>/dev/null || echo 1)
printf '%s\n' "$@" | xargs -P "${JOBS:-$((cores > 1 ? 2 : 1))}" -I{} bash -c 'fuzz_one {}'
