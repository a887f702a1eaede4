"""Lines that no test runs: `uncovered.py LINES.lcov ROOT LEAST`. Prints their number by file and
each refusal among them; fails below LEAST per cent, or where it was given no lines."""

import re
import sys
from collections import defaultdict
from pathlib import Path

report, root, least = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
counts = defaultdict(lambda: defaultdict(int))
for row in Path(report).read_text().splitlines():
    kind, _, rest = row.partition(":")
    if kind == "SF":
        path = Path(rest).relative_to(root)
    elif kind == "DA":
        line, count = map(int, rest.split(",")[:2])
        counts[path][line] = max(counts[path][line], count)

total = covered = 0
refusals = []
for path, lines in sorted(counts.items()):
    text = (root / path).read_text()
    # What is behind the unit tests' heading is not the library.
    end = text.split("\n#[cfg(test)]\nmod tests", 1)[0].count("\n") + 1
    lines = {line: count for line, count in lines.items() if line <= end}
    missed = [line for line, count in sorted(lines.items()) if count == 0]
    total, covered = total + len(lines), covered + len(lines) - len(missed)
    if missed:
        print(f"{path}: {len(missed)} of {len(lines)} lines: {', '.join(map(str, missed))}")
    source = text.splitlines()
    for line in missed:
        if re.search(r"ErrorKind::\w+[,)]|Error::(new|io)\(|corrupt\(|invalid\(|bad\(|BadEntry\(", source[line - 1]):
            refusals.append(f"{path}:{line}: {source[line - 1].strip()}")
print(f"\nrefusals that no test meets: {len(refusals)}", *refusals, sep="\n  ")
if total == 0:
    sys.exit("no lines were counted")
share = 100 * covered / total
print(f"\n{covered} of {total} lines: {share:.1f} %")
if share < least:
    sys.exit(f"less than {least:g} %")
