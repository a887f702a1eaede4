/* Lists what changed: changes DISK BASELINE, in the lines of `vhdx-rct changes --format csv`.
 * examples/c.sh builds it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "vhdx_rct.h"

/* Small, so that the loop runs more than once; a real program uses some thousands. */
enum { CAPACITY = 3 };

static void fail(uint32_t code)
{
    char text[1024];
    vhdx_rct_last_error(text, sizeof text);
    fprintf(stderr, "error %" PRIu32 " (0x%08" PRIX32 "): %s\n", code, vhdx_rct_last_win32_code(), text);
    exit(1);
}

int main(int count, char **arguments)
{
    if (count != 3) {
        fprintf(stderr, "usage: %s DISK BASELINE\n", arguments[0]);
        return 2;
    }
    const char *path = arguments[1], *baseline = arguments[2];
    VhdxRctRange ranges[CAPACITY];
    VhdxRctDisk disk;
    size_t found = CAPACITY;
    uint64_t processed, offset = 0;

    /* A region of length 0: only the disk and its size. */
    uint32_t code = vhdx_rct_get_virtual_disk_changes(path, baseline, NULL, 0, 0, 0, ranges, &found, &processed, &disk);
    if (code != 0)
        fail(code);

    puts("ByteOffset,ByteLength");
    while (offset < disk.virtual_size) {
        found = CAPACITY;
        code = vhdx_rct_get_virtual_disk_changes(path, baseline, NULL, offset, disk.virtual_size - offset, 0, ranges,
                                                 &found, &processed, NULL);
        if (code != 0)
            fail(code);
        for (size_t i = 0; i < found; i++)
            printf("%" PRIu64 ",%" PRIu64 "\n", ranges[i].byte_offset, ranges[i].byte_length);
        /* Always more than 0, even if the buffer is full. */
        offset += processed;
    }

    char id[VHDX_RCT_ID_SIZE];
    code = vhdx_rct_newest_id(path, 0, id);
    if (code != 0)
        fail(code);
    if (id[0] != '\0')
        fprintf(stderr, "next time, ask since %s\n", id);
    return 0;
}
