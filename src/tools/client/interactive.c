/* SPDX-License-Identifier: MIT */
/*
 * Interactive use, compatible with QEMU's ivshmem-client: its prompt, its commands, which end with
 * a newline, a carriage return or a semicolon, and its patience with a server that is not there.
 * Unlike QEMU's it ends at the end of its input.
 */
#include "tools/client/tool.h"

#include "ivshmem-client.h"
#include "util/cleanup.h"
#include "util/deadline.h"
#include "util/signals.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define RETRY_MS   1000
#define INPUT_SIZE 1024 /* bytes of a command */
#define WORDS_MAX  4

typedef struct Session {
    IvshmemClient client;
    const ToolOptions *options;
    int signals;
    bool over;
    char input[INPUT_SIZE]; /* up to the end of a command that is not complete */
    size_t n_input;
    char held[INPUT_SIZE]; /* what has been read while there was no server */
    size_t n_held;
    bool ended; /* the input, behind that */
} Session;

/* A command; a word of its pattern that begins with '<' stands for any word. */
typedef struct Prompted {
    const char *pattern;
    void (*run)(Session *session, char **words);
    const char *help;
} Prompted;

static void show_help(Session *session, char **words);

static void dump(Session *session, char **words)
{
    (void)words;
    ivshmem_client_dump(&session->client);
}

static void ring_all(Session *session, char **words)
{
    int r = ivshmem_client_notify_broadcast(&session->client);

    (void)words;
    if (r < 0)
        (void)tool_error("cannot ring all peers: %s", strerror(-r));
}

static void ring(Session *session, char **words)
{
    bool all = strcmp(words[2], "all") == 0;
    const IvshmemClientPeer *peer;
    uint64_t id, vector = 0;
    int r;

    if (tool_number("peer", words[1], ID_MAX, &id) != STATUS_OK ||
        (!all && tool_number("vector", words[2], VECTOR_MAX, &vector) != STATUS_OK))
        return;
    peer = ivshmem_client_search_peer(&session->client, (int64_t)id);
    r = all ? ivshmem_client_notify_all_vects(&session->client, peer)
            : ivshmem_client_notify(&session->client, peer, (unsigned)vector);
    if (r == -ENOENT)
        (void)tool_error("there is no peer %" PRIu64, id);
    else if (r == -ERANGE)
        (void)tool_error("peer %" PRIu64 " has no vector %" PRIu64 ": it has %u", id, vector,
                         peer->vectors_count);
    else if (r < 0)
        (void)tool_error("cannot ring peer %" PRIu64 ": %s", id, strerror(-r));
}

static void quit(Session *session, char **words)
{
    (void)words;
    session->over = true;
}

static const Prompted prompted[] = {
    {"dump", dump, "show our ID and vectors and those of all peers"},
    {"int <peer> <vector>", ring, "ring a vector of a peer, or all of them ('all')"},
    {"int all", ring_all, "ring all vectors of all other peers"},
    {"help", show_help, "show this"},
    {"?", show_help, "the same"},
    {"quit", quit, "end; so does the end of the input"},
};
#define N_PROMPTED (sizeof(prompted) / sizeof(prompted[0]))

static void show_help(Session *session, char **words)
{
    (void)session, (void)words;
    for (size_t i = 0; i < N_PROMPTED; i++)
        (void)printf("%-20s %s\n", prompted[i].pattern, prompted[i].help);
}

/* Cuts a text into words, in place. Returns their number; more than WORDS_MAX are one too many. */
static size_t split(char *text, char *words[static WORDS_MAX + 1])
{
    char *rest = NULL;
    size_t n = 0;

    for (char *word = strtok_r(text, " \t", &rest); word && n <= WORDS_MAX;
         word = strtok_r(NULL, " \t", &rest))
        words[n++] = word;
    return n;
}

static bool matches(const Prompted *command, char **words, size_t n)
{
    char pattern[64], *wanted[WORDS_MAX + 1];

    (void)snprintf(pattern, sizeof(pattern), "%s", command->pattern);
    if (split(pattern, wanted) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (wanted[i][0] != '<' && strcmp(wanted[i], words[i]) != 0)
            return false;
    return true;
}

static void run_line(Session *session, char *line)
{
    char *words[WORDS_MAX + 1];
    size_t n = split(line, words);

    if (n == 0 || session->over)
        return;
    for (size_t i = 0; i < N_PROMPTED; i++) {
        if (matches(&prompted[i], words, n)) {
            prompted[i].run(session, words);
            return;
        }
    }
    (void)puts("invalid command, type help");
}

static void prompt(const Session *session)
{
    if (!session->over)
        (void)fputs("cmd> ", stdout);
    (void)fflush(stdout);
}

static void take_byte(Session *session, char byte)
{
    if (byte != '\n' && byte != '\r' && byte != ';') {
        if (session->n_input < INPUT_SIZE)
            session->input[session->n_input++] = byte;
        return;
    }
    if (session->n_input == INPUT_SIZE) {
        (void)tool_error("a command has more than %d bytes", INPUT_SIZE - 1);
    } else {
        session->input[session->n_input] = '\0';
        run_line(session, session->input);
    }
    session->n_input = 0;
}

/* Reads some of the input. @return its length, 0 at the end, or -1 if there is none yet */
static ssize_t read_input(char *bytes, size_t size)
{
    ssize_t n = read(STDIN_FILENO, bytes, size);

    return n < 0 && errno != EINTR && errno != EAGAIN ? 0 : n;
}

static void take_bytes(Session *session, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        take_byte(session, bytes[i]);
}

static void take_end(Session *session)
{
    take_byte(session, '\n');
    session->over = true;
}

static void take_input(Session *session)
{
    char bytes[INPUT_SIZE];
    ssize_t n = read_input(bytes, sizeof(bytes));

    if (n < 0)
        return;
    take_bytes(session, bytes, (size_t)n);
    if (n == 0)
        take_end(session);
    prompt(session);
}

/* Commands are for the server that is to come. Where there are none, the end is the end. */
static void hold_input(Session *session)
{
    ssize_t n = read_input(session->held + session->n_held, INPUT_SIZE - session->n_held);

    if (n > 0)
        session->n_held += (size_t)n;
    if (n != 0)
        return;
    session->ended = true;
    session->over = session->n_held == 0 && session->n_input == 0;
}

static void take_held(Session *session)
{
    if (session->n_held == 0 && !session->ended)
        return;
    take_bytes(session, session->held, session->n_held);
    session->n_held = 0;
    if (session->ended)
        take_end(session);
    prompt(session);
}

static void on_ring(const IvshmemClient *client, const IvshmemClientPeer *peer, unsigned vector,
                    void *arg)
{
    (void)client, (void)arg;
    (void)printf("receive notification from peer_id=%" PRId64 " vector=%u\n", peer->id, vector);
    (void)fflush(stdout);
}

/* Until the user or the server ends it. */
static void converse(Session *session)
{
    struct pollfd fds[] = {
        {.fd = session->signals, .events = POLLIN},
        {.fd = ivshmem_client_get_fd(&session->client), .events = POLLIN},
        {.fd = STDIN_FILENO, .events = POLLIN},
    };

    prompt(session);
    take_held(session);
    while (!session->over) {
        int r = poll(fds, 3, -1);

        session->over = (r < 0 && errno != EINTR) || (r > 0 && fds[0].revents);
        if (r < 0)
            continue;
        if (fds[1].revents && ivshmem_client_dispatch(&session->client) < 0) {
            (void)printf("disconnected from server: %s\n", ivshmem_client_error(&session->client));
            (void)fflush(stdout);
            return;
        }
        if (fds[2].revents && !session->over)
            take_input(session);
    }
}

/* Waits until it is time to try again, or for the end. */
static void pause_before_retry(Session *session, int result)
{
    struct pollfd fds[] = {
        {.fd = session->signals, .events = POLLIN},
        {.fd = STDIN_FILENO, .events = POLLIN},
    };
    int64_t deadline = deadline_after(RETRY_MS);
    int r;

    (void)tool_error("%s%s; retry in 1 second", ivshmem_client_error(&session->client),
                     tool_hint(session->options, result));
    do {
        bool reads = !session->ended && session->n_held < INPUT_SIZE;

        r = poll(fds, reads ? 2 : 1, deadline_left(deadline));
        session->over = (r < 0 && errno != EINTR) || (r > 0 && fds[0].revents);
        if (r > 0 && reads && fds[1].revents && !session->over)
            hold_input(session);
    } while (r != 0 && !session->over);
}

/* Connected once, until the connection ends. */
static void attend(Session *session)
{
    IvshmemClient *client = &session->client;
    int r = ivshmem_client_connect_timeout(client, session->options->connect_timeout_ms);

    if (r < 0) {
        pause_before_retry(session, r);
        return;
    }
    (void)printf("listen on server socket %d\n", client->sock_fd);
    /* So that a command that is there already finds the peers that are. */
    (void)ivshmem_client_wait_ready(client, RETRY_MS);
    if (ivshmem_client_is_ready(client) || client->sock_fd >= 0)
        converse(session);
    else
        pause_before_retry(session, 0);
    ivshmem_client_close(client);
}

/* The socket that the options name; NULL if they name a device. */
static const char *socket_path(const ToolOptions *options)
{
    if (!options->port)
        return options->socket ? options->socket : DEFAULT_SOCKET;
    if (strncmp(options->port, UNIX_SCHEME, strlen(UNIX_SCHEME)) != 0)
        return NULL;
    return options->port + strlen(UNIX_SCHEME);
}

int run_interactive(const ToolOptions *options)
{
    static Session session;
    _cleanup_close_ int signals = signals_open(0);
    const char *path = socket_path(options);
    int r;

    if (signals < 0)
        return tool_error("cannot wait for signals: %s", strerror(-signals));
    if (!path)
        return tool_error("interactive use is for a server's socket; with --port %s, give a "
                          "command (see --help)",
                          options->port);
    session.options = options;
    session.signals = signals;
    r = ivshmem_client_init(&session.client, path, on_ring, NULL, options->verbose);
    if (r < 0)
        return tool_error("the socket '%s': %s", path, strerror(-r));
    ivshmem_client_set_vectors(&session.client, options->vectors);
    ivshmem_client_set_wary(&session.client, true);
    while (!session.over)
        attend(&session);
    return tool_flush();
}
