/* SPDX-License-Identifier: MIT */
/* Runs a fuzzer's inputs from the files of a folder, each once: what libFuzzer does, without it. */
#include "fuzz.h"

#include <dirent.h>
#include <limits.h>

#define INPUT_MAX 65536

static void run(const char *path)
{
    static uint8_t bytes[INPUT_MAX];
    FILE *file = fopen(path, "rbe");
    uint8_t *copy;
    size_t n;

    RULE(file);
    n = fread(bytes, 1, sizeof(bytes), file);
    (void)fclose(file);
    copy = malloc(n); /* of its exact size, so that a sanitizer sees who reads past it */
    RULE(copy || n == 0);
    if (n > 0)
        memcpy(copy, bytes, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

int main(int argc, char **argv)
{
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    const struct dirent *entry;
    unsigned n = 0;

    RULE(folder);
    while ((entry = readdir(folder))) {
        char path[PATH_MAX];

        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", argv[1], entry->d_name);
        (void)fprintf(stderr, "%s\n", entry->d_name);
        run(path);
        n++;
    }
    (void)closedir(folder);
    RULE(n > 0);
    return 0;
}
