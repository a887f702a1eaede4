#!/usr/bin/env python3
"""Times the same work as whole processes: this crate's tool, qemu-img, libvhdi, dissect, 7-Zip.

    benches/rivals.py [--rounds 7] [--dir FOLDER] [--sizes 256,1024,4096]

Installs what is missing: qemu-img and 7-Zip by apt (as root only), the Python packages into a
virtual environment of their own. Prints the tables in Markdown and writes them to
benches/RIVALS.md. A program that is not there is left out, and the table says so.

The programs take turns, everything is in the page cache, and only ratios are worth looking
at: the table has their median with the least and the greatest.
"""

import argparse
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PACKAGES = ["libvhdi-python==20260901", "dissect.hypervisor==3.21"]

LIBVHDI_OPEN = "import pyvhdi, sys; f = pyvhdi.file(); f.open(sys.argv[1]); f.close()"
DISSECT_OPEN = "import sys; from dissect.hypervisor.disk.vhdx import VHDX; VHDX(sys.argv[1])"

# The table of blocks is no part of the package's public interface, but all it has.
DISSECT_LIST = """
import sys
from dissect.hypervisor.disk.vhdx import VHDX
disk = VHDX(sys.argv[1])
count = -(-disk.size // disk.block_size)
print(sum(disk.bat.pb(block).state >= 6 for block in range(count)) * disk.block_size)
"""

# Both read 1 MB at a time and look closer where it differs.
COMPARE = """
changed = 0
for at in range(0, size, 1 << 20):
    length = min(1 << 20, size - at)
    old, new = read(parent, at, length), read(child, at, length)
    if old != new:
        sectors = range(0, length, 512)
        changed += 512 * sum(old[i:i + 512] != new[i:i + 512] for i in sectors)
print(changed)
"""
LIBVHDI_COMPARE = """
import pyvhdi, sys
def opened(path):
    file = pyvhdi.file()
    file.open(path)
    return file
parent, child, below = opened(sys.argv[1]), opened(sys.argv[2]), opened(sys.argv[1])
child.set_parent(below)
size = child.media_size
read = lambda file, at, length: file.read_buffer_at_offset(length, at)
""" + COMPARE
DISSECT_COMPARE = """
import sys
from pathlib import Path
from dissect.hypervisor.disk.vhdx import VHDX
parent, child = VHDX(Path(sys.argv[1])), VHDX(Path(sys.argv[2]))
size = child.size
def read(disk, at, length):
    disk.seek(at)
    return disk.read(length)
""" + COMPARE


class Program:
    """One way to do a task: a command, and what is worth knowing of it."""

    def __init__(self, name, command, note="", right=None, codes=(0,), prepare=None):
        self.name, self.command, self.note = name, [str(part) for part in command], note
        self.right, self.codes, self.prepare = right, codes, prepare or (lambda: None)
        self.times, self.cpu = [], []

    def there(self):
        return shutil.which(self.command[0]) is not None

    def check(self):
        """Runs once: into the cache, and is the answer right?"""
        self.prepare()
        done = subprocess.run(self.command, capture_output=True, text=True)
        if done.returncode not in self.codes:
            sys.exit(f"{self.name} fails:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        if self.right is not None:
            answer = total(done.stdout)
            if answer != self.right:
                sys.exit(f"{self.name} says {answer} bytes instead of {self.right}")

    def run(self):
        self.prepare()
        before, start = cpu_time(), time.perf_counter()
        subprocess.run(
            self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False
        )
        self.times.append(time.perf_counter() - start)
        self.cpu.append(cpu_time() - before)

    def milliseconds(self):
        return f"{short(1000 * statistics.median(self.times), 3)} ms"

    def ratio(self, ours):
        """The median of the turns' ratios, the least and the greatest."""
        ratios = [theirs / own for theirs, own in zip(self.times, ours.times)]
        low, middle, high = (short(f(ratios)) for f in (min, statistics.median, max))
        return f"×{middle} ({low}–{high})"


class Copy(Program):
    """A program that writes a raw copy, which is removed or put back before each turn."""

    def __init__(self, name, command, copy, note="", start_with=None, codes=(0,)):
        super().__init__(name, command, note, codes=codes, prepare=self.put_back)
        self.copy, self.start_with = copy, start_with

    def put_back(self):
        for path in (self.copy, Path(f"{self.copy}.vhdx-rct.json")):
            path.unlink(missing_ok=True)
            if self.start_with:
                source = str(path).replace(str(self.copy), str(self.start_with))
                if os.path.exists(source):
                    subprocess.run(["cp", "--sparse=always", source, path], check=True)
        os.sync()

    def used(self):
        return f"{self.copy.stat().st_blocks * 512 / (1 << 20):,.0f} MiB"

    def cpu_ratio(self, ours):
        return f"×{short(statistics.median(self.cpu) / max(statistics.median(ours.cpu), 1e-6))}"


def cpu_time():
    """The CPU time of the programs that have ended, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def copies(programs):
    lines = [
        "| program | time | to ours (min–max) | CPU time to ours | space of the copy | |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for program in programs:
        is_ours = program is programs[0]
        ratio = "1" if is_ours else program.ratio(programs[0])
        cpu = "1" if is_ours else program.cpu_ratio(programs[0])
        lines.append(
            f"| {program.name} | {program.milliseconds()} | {ratio} | {cpu} | {program.used()} "
            f"| {program.note} |"
        )
    return "\n".join(lines)


def short(value, digits=2):
    """So many digits, and zeros where there are more before the point."""
    value = float(f"{value:.{digits}g}")
    return f"{value:,.0f}" if value >= 10 ** (digits - 1) else f"{value:g}"


def total(text):
    """The bytes of an answer: the lengths of a CSV table, or the number that is all of it."""
    lines = text.split()
    if lines and lines[0] == "ByteOffset,ByteLength":
        return sum(int(line.split(",")[1]) for line in lines[1:])
    return int(lines[-1])


def race(programs, rounds):
    """Lets the programs that are there take turns."""
    present = [program for program in programs if program.there()]
    for program in present:
        program.check()
    for _ in range(rounds):
        for program in present:
            program.run()
    return present


def table(programs):
    lines = ["| program | time | to ours (min–max) | |", "|---|--:|--:|---|"]
    for program in programs:
        ratio = "1" if program is programs[0] else program.ratio(programs[0])
        lines.append(f"| {program.name} | {program.milliseconds()} | {ratio} | {program.note} |")
    return "\n".join(lines)


def growth(sizes, columns):
    """One row a program, one column a size; the first row is what the others are held against."""
    head = " | ".join(f"{size} MB | to ours (min–max)" for size in sizes)
    lines = [f"| program | {head} | |", "|---|" + "--:|--:|" * len(sizes) + "---|"]
    for row in zip(*columns):
        cells = []
        for program, column in zip(row, columns):
            ratio = "1" if program is column[0] else program.ratio(column[0])
            cells.append(f"{program.milliseconds()} | {ratio}")
        lines.append(f"| {row[0].name} | {' | '.join(cells)} | {row[0].note} |")
    return "\n".join(lines)


class Bench:
    def __init__(self, options, directory):
        self.directory, self.rounds = directory, options.rounds
        self.sizes = [int(size) for size in options.sizes.split(",")]
        build("--package", "vhdx-rct-fixtures", "--bin", "make-bench-disks")
        build("--package", "vhdx-rct-cli")
        self.ours = TARGET / "release" / "vhdx-rct"
        self.python = python_with_packages()

    def make(self, name):
        """Returns the directory with a set of disks, and the output of the program that made them."""
        directory = self.directory / name
        command = [TARGET / "release" / "make-bench-disks", directory, name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return directory, done.stdout.split()

    def opening(self, name):
        disk = self.directory / "open" / name
        return race([
            Program("vhdx-rct info", [self.ours, "info", disk]),
            Program("qemu-img info", ["qemu-img", "info", disk], "reads the whole BAT"),
            Program("libvhdi, open and close", [self.python, "-c", LIBVHDI_OPEN, disk]),
            Program("dissect, open", [self.python, "-c", DISSECT_OPEN, disk]),
            Program("7z l", ["7z", "l", disk], "reads the whole BAT"),
            Program(
                "for comparison: Python alone",
                [self.python, "-c", "pass"],
                "as much of the two rows with Python is its start",
            ),
        ], self.rounds)

    def listing(self):
        directory, (_, right) = self.make("list")
        disk, right = directory / "list.vhdx", int(right)
        ours = [self.ours, "changes", disk, "--since", "*", "--format", "csv"]
        return race([
            Program("vhdx-rct changes --since '*'", ours, right=right),
            Program("qemu-img info", ["qemu-img", "info", disk], "only opens the disk"),
            Program(
                "qemu-img map",
                ["qemu-img", "map", "--output=json", disk],
                "its VHDX driver reports one extent, the whole disk: no answer",
            ),
            Program(
                "dissect, block by block",
                [self.python, "-c", DISSECT_LIST, disk],
                "by what is inside the package; it has no such function",
                right=right,
            ),
        ], self.rounds)

    def changing(self, size):
        directory, (limit, right) = self.make(str(size))
        right = int(right)
        old, new, child = (directory / name for name in ("1.vhdx", "2.vhdx", "child.avhdx"))
        changes = lambda disk, since: [self.ours, "changes", disk, "--since", since, "--format", "csv"]
        programs = race([
            Program("vhdx-rct, since a file", changes(child, f"file:{old}"), right=right),
            Program("vhdx-rct, since an RCT id", changes(new, limit), "in units of 16 KB"),
            Program(
                "qemu-img compare",
                ["qemu-img", "compare", old, new],
                "two full disks; stops at the first difference, which lies after 63/64",
                codes=(1,),
            ),
            Program(
                "libvhdi, parent and child",
                [self.python, "-c", LIBVHDI_COMPARE, old, child],
                right=right,
            ),
            Program(
                "dissect, parent and child",
                [self.python, "-c", DISSECT_COMPARE, old, child],
                right=right,
            ),
        ], self.rounds)
        shutil.rmtree(directory)
        return programs


    def copying(self, size):
        """A full copy of the first generation, and the update to the second one."""
        directory, _ = self.make(str(size))
        old, child, done = directory / "1.vhdx", directory / "child.avhdx", directory / "done.raw"
        convert = ["qemu-img", "convert", "-f", "vhdx", "-O", "raw", "-t", "writeback"]
        nbd = ["nbdcopy", "--", "[", "qemu-nbd", "--read-only", "-f", "vhdx", old, "]"]
        copy = lambda name: directory / f"{name}.raw"
        full = race([
            Copy("vhdx-rct sync", [self.ours, "sync", old, "--to", copy("sync")], copy("sync")),
            Copy("qemu-img convert -t writeback", [*convert, old, copy("convert")], copy("convert")),
            Copy("nbdcopy from qemu-nbd", [*nbd, copy("nbd")], copy("nbd")),
            Copy(
                "for comparison: cp of the VHDX file",
                ["cp", "--reflink=never", old, copy("cp")],
                copy("cp"),
                "no raw copy",
            ),
        ], self.rounds)
        subprocess.run([self.ours, "sync", old, "--to", done], check=True, stdout=subprocess.DEVNULL)
        new = directory / "2.vhdx"
        changed = race([
            Copy("vhdx-rct sync", [self.ours, "sync", child, "--to", copy("sync")], copy("sync"),
                 "reads what changed", start_with=done),
            Copy("qemu-img convert -t writeback", [*convert, new, copy("convert")], copy("convert"),
                 "a full copy of the same disk without a chain: it cannot read one"),
            Copy("qemu-img compare", ["qemu-img", "compare", "-f", "raw", "-F", "vhdx",
                                      copy("compare"), new], copy("compare"), "stops at the first difference, which lies after 63/64",
                 start_with=done, codes=(1,)),
        ], self.rounds)
        full, changed = copies(full), copies(changed)
        shutil.rmtree(directory)
        return full, changed


def build(*arguments):
    subprocess.run(["cargo", "build", "--release", "--quiet", *arguments], check=True, cwd=ROOT)


def python_with_packages():
    """A Python that has the rivals' packages; made once, kept with what cargo builds."""
    directory = TARGET / "rivals-venv"
    python = directory / "bin" / "python"
    if not python.exists():
        venv.create(directory, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


def install_programs():
    """By apt, where that is possible; whoever has them already needs nothing."""
    wanted = {
        "qemu-img": ["qemu-utils"],
        "7z": ["7zip", "p7zip-full"],
        "nbdcopy": ["libnbd-bin"],
    }
    for program, packages in wanted.items():
        if shutil.which(program) or not shutil.which("apt-get") or os.geteuid() != 0:
            continue
        for package in packages:
            command = ["apt-get", "install", "--yes", "--quiet", package]
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if shutil.which(program):
                break


def versions():
    def first_line(*command, mark=""):
        if not shutil.which(command[0]):
            return f"{command[0]}: not there, left out"
        text = subprocess.run(command, capture_output=True, text=True).stdout
        lines = [line.strip() for line in text.splitlines() if mark in line and line.strip()]
        return lines[0] if lines else command[0]

    ours = first_line(str(TARGET / "release" / "vhdx-rct"), "--version")
    seven = first_line("7z", "i", mark="7-Zip").split(":")[0].strip()
    return "; ".join([
        ours,
        first_line("rustc", "--version"),
        first_line("qemu-img", "--version"),
        *PACKAGES,
        f"Python {platform.python_version()}",
        seven,
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    ])


def report(bench):
    arguments = f"--rounds {bench.rounds} --sizes {','.join(map(str, bench.sizes))}"
    parts = ["# The same work by other programs", ""]
    parts += [f"Rerun with `benches/rivals.py {arguments}`.", ""]
    parts += [versions() + ".", ""]
    parts += [
        f"Whole processes, taking turns, {bench.rounds} times; files in the page cache. A ratio is "
        "the other program's time to ours of the same turn: median (least–greatest).",
        "",
    ]
    bench.make("open")
    for name, block in (("64T-32M.vhdx", 32), ("64T-1M.vhdx", 1)):
        parts += [f"## Opening a disk of 64 TB in blocks of {block} MB", ""]
        parts += [table(bench.opening(name)), ""]
    parts += ["## What a disk of 1 TB holds: 200,000 blocks in ragged runs", ""]
    parts += [table(bench.listing()), "", "libvhdi has no function for this.", ""]
    parts += ["## What changed between two generations of a full disk", ""]
    parts += [growth(bench.sizes, [bench.changing(size) for size in bench.sizes]), ""]
    parts += ["The last 64th changed, in runs of 1 to 64 sectors. The others can only read both."]
    size = bench.sizes[-1]
    full, changed = bench.copying(size)
    parts += ["", f"## A raw copy of a full disk of {size} MB", "", full, ""]
    parts += ["## The copy brought up to date after the last 64th changed", "", changed, ""]
    parts += ["qemu-img rebase does not write raw files, and cp and nbdcopy know no changes."]
    return "\n".join(parts) + "\n"


def main():
    parser = argparse.ArgumentParser(description="Times the same work by other programs.")
    parser.add_argument("--rounds", type=int, default=7, help="turns, at least 5 (default: %(default)s)")
    parser.add_argument("--sizes", default="256,1024,4096", help="MB of the disks that changed")
    parser.add_argument("--dir", help="where 9 GB can be made for a while")
    options = parser.parse_args()
    if options.rounds < 5:
        parser.error("a median of fewer than 5 turns says nothing")
    install_programs()
    with tempfile.TemporaryDirectory(dir=options.dir) as directory:
        text = report(Bench(options, Path(directory)))
    (ROOT / "benches" / "RIVALS.md").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
