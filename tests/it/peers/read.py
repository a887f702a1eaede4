"""Reads disks with a reader that is not ours, for tests/peers.rs.

Standard input: {"reader": "libvhdi" | "dissect",
                 "disks": [{"files": [path, root first], "regions": [[offset, length]]}]}
Standard output: {"version": "...", "disks": [{"size": n, "sha256": [one per region]}]},
with {"error": "..."} for a disk that the reader does not open or read.
"""

import hashlib
import importlib.metadata
import json
import sys


def with_libvhdi(paths, regions):
    import pyvhdi

    files = []
    try:
        for path in paths:
            file = pyvhdi.file()
            file.open(path)
            if files:
                file.set_parent(files[-1])
            files.append(file)
        yield files[-1].get_media_size()
        for offset, length in regions:
            yield files[-1].read_buffer_at_offset(length, offset)
    finally:
        # A child must not outlive the parent that it reads from.
        for file in reversed(files):
            file.close()


def with_dissect(paths, regions):
    from dissect.hypervisor.disk.vhdx import VHDX

    [path] = paths
    with open(path, "rb") as file:
        disk = VHDX(file)
        yield disk.size
        for offset, length in regions:
            disk.seek(offset)
            yield disk.read(length)


READERS = {
    "libvhdi": ("libvhdi-python", with_libvhdi),
    "dissect": ("dissect.hypervisor", with_dissect),
}


def answer(read, disk):
    try:
        answers = read(disk["files"], disk["regions"])
        size = next(answers)
        return {"size": size, "sha256": [hashlib.sha256(bytes).hexdigest() for bytes in answers]}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main():
    request = json.load(sys.stdin)
    package, read = READERS[request["reader"]]
    disks = [answer(read, disk) for disk in request["disks"]]
    json.dump({"version": importlib.metadata.version(package), "disks": disks}, sys.stdout)


main()
