/* SPDX-License-Identifier: MIT */
/*
 * The server's command line: words that end with NUL bytes. Whatever they are, they are taken, or
 * refused with a complaint of ours on standard error; and what is taken is within its limits.
 */
#include "daemon/settings/options.h"

#include "daemon/settings/option-table.h"
#include "fuzz.h"

#include <getopt.h>

#define WORDS_MAX 40

/* glibc's stdout and stderr are variables; for what they get in the meantime. */
typedef struct Output {
    FILE *real, *file;
    char *text;
    size_t n;
} Output;

static FILE *output_catch(Output *output, FILE *real)
{
    *output = (Output){.real = real};
    output->file = open_memstream(&output->text, &output->n);
    RULE(output->file);
    return output->file;
}

static FILE *output_release(Output *output)
{
    (void)fclose(output->file);
    return output->real;
}

/* Splits a copy of the input, which is changed. */
static int split(char *bytes, size_t n, char **argv)
{
    int argc = 0;

    argv[argc++] = (char *)(uintptr_t) "ivshmem-server";
    for (size_t at = 0; at < n && argc < WORDS_MAX; at += strlen(bytes + at) + 1)
        argv[argc++] = bytes + at;
    argv[argc] = NULL;
    return argc;
}

static void check_taken(const Options *options)
{
    static IvshmemServer server;
    const IvshmemServerConfig *config = &options->server;
    const PolicyList *lists[] = {&options->policy.users, &options->policy.groups,
                                 &options->policy.read_only};

    RULE(config->n_vectors >= 1 && config->n_vectors <= IVSHMEM_SERVER_MAX_VECTORS);
    RULE(config->shm_size > 0 && config->backlog >= 1 && config->backlog <= 65535);
    RULE(config->max_clients <= 65536 && config->max_clients_per_uid <= 65536);
    RULE(config->max_accepts_per_s <= 1000000 && config->setup_timeout_ms <= 86400000);
    RULE(config->socket_mode >= -1 && config->socket_mode <= 0777);
    RULE(config->socket_gid == (gid_t)-1 || config->socket_mode >= 0);
    RULE((config->huge_page_size & (config->huge_page_size - 1)) == 0);
    RULE(options->sandbox <= SANDBOX_NONE);
    RULE((options->run_uid == (uid_t)-1) == (options->run_gid == (gid_t)-1));
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        RULE(lists[i]->n <= POLICY_MAX);
    /* What the two together still refuse is refused with its reason. */
    if (ivshmem_server_init_config(&server, config) < 0)
        RULE(*ivshmem_server_error(&server));
    else
        RULE((server.shm_size & (server.shm_size - 1)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static Options options;
    char *argv[WORDS_MAX + 1], *copy = calloc(n + 1, 1);
    Output out, error;
    OptionsResult result;
    int argc;

    RULE(copy);
    if (n > 0)
        memcpy(copy, bytes, n);
    argc = split(copy, n, argv);
    stdout = output_catch(&out, stdout);
    stderr = output_catch(&error, stderr);
    optind = 0; /* makes getopt forget what it knows */
    result = options_parse(&options, argc, argv);
    stdout = output_release(&out);
    stderr = output_release(&error);

    RULE((result == OPTIONS_WRONG) == (error.n > 0));
    RULE((result == OPTIONS_DONE) == (out.n > 0));
    if (result == OPTIONS_WRONG)
        RULE(strncmp(error.text, "ivshmem-server: ", 16) == 0 && error.text[error.n - 1] == '\n');
    if (result == OPTIONS_RUN)
        check_taken(&options);
    free(out.text);
    free(error.text);
    free(copy);
    return 0;
}
