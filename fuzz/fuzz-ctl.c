/* SPDX-License-Identifier: MIT */
/*
 * ivshmem-ctl on what a server answers that may be none of ours. Of an input, the first byte says
 * what it is asked to do; the rest is what the server sends.
 *
 * It ends, with success or after a line on what is wrong; nothing that it shows can command a
 * terminal.
 */
#include "fuzz.h"
#include "tools/ctl/ctl.h"
#include "util/cleanup.h"

#include <sys/socket.h>

#define SENT_MAX  (64U << 10) /* bytes, which a socket takes at once */
#define SERVER_FD 500

/* The terminal's commands: below a space, and from U+0080 to U+009F. */
static void check_text(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];

        RULE(c >= ' ' || c == '\n');
        RULE(c != 0xc2 || i + 1 == n || (unsigned char)(text[i + 1] - 0x80) >= 0x20);
    }
}

static const char *const words[][3] = {
    {NULL},
    {"region"},
    {"region", "1"},
    {"region", "name", "vectors=1"},
    {"region", "allow-user=a,b", "force=yes"},
};

/* Not those that need more than answers. */
static const CtlCommand *choose_command(unsigned number)
{
    const CtlCommand *command = &ctl_commands[number % n_ctl_commands];

    return command->run && strcmp(command->name, "clients") != 0 ? &ctl_commands[0] : command;
}

static Qmp serve(const uint8_t *bytes, size_t n)
{
    int ends[2], size = 4 * (int)SENT_MAX;

    RULE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    RULE(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0);
    if (n > 0)
        RULE(send(ends[0], bytes, n, MSG_DONTWAIT) == (ssize_t)n);
    RULE(shutdown(ends[0], SHUT_WR) == 0);
    /* What it asks is taken and not read. */
    RULE(dup2(ends[0], SERVER_FD) == SERVER_FD && close(ends[0]) == 0);
    return (Qmp){.fd = ends[1], .path = "control", .timeout_ms = 1000};
}

/* What goes to stdout and stderr meanwhile, which are variables in glibc. */
typedef struct Shown {
    char *text, *errors;
    size_t n_text, n_errors;
} Shown;

static int run(Qmp *qmp, const CtlOptions *options, Shown *shown)
{
    FILE *out = stdout, *error = stderr;
    int status;

    stdout = open_memstream(&shown->text, &shown->n_text);
    stderr = open_memstream(&shown->errors, &shown->n_errors);
    RULE(stdout && stderr);
    status = ctl_run(qmp, options);
    (void)fclose(stdout);
    (void)fclose(stderr);
    stdout = out;
    stderr = error;
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    Input input = {bytes, n};
    unsigned head = (unsigned)input_number(&input, 2);
    const char *const *chosen = words[head % (sizeof(words) / sizeof(words[0]))];
    CtlOptions options = {
        .command = choose_command(head >> 8 & 127),
        .json = head >> 15,
        .timeout_ms = 1000,
        .words = (char **)(uintptr_t)chosen,
    };
    Shown shown = {0};
    Qmp qmp;
    int status;

    while (options.n_words < 3 && chosen[options.n_words])
        options.n_words++;
    qmp = serve(input.bytes, input.n < SENT_MAX ? input.n : SENT_MAX);
    status = run(&qmp, &options, &shown);
    RULE((status == EXIT_SUCCESS) == (shown.n_errors == 0));
    check_text(shown.text, shown.n_text);
    check_text(shown.errors, shown.n_errors);
    RULE(shown.n_errors == 0 || strchr(shown.errors, '\n') == shown.errors + shown.n_errors - 1);
    RULE(close(SERVER_FD) == 0);
    qmp_close(&qmp);
    free(shown.text);
    free(shown.errors);
    return 0;
}
