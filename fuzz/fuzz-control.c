/* SPDX-License-Identifier: MIT */
/*
 * The control socket's sessions: clients that send bytes in any pieces, read or not, shut down and
 * hang up, while events come. The commands' forms and arguments are checked as in the daemon; what
 * they do is not done, but for reading a region's or a listener's keys. An input is a row of
 * actions.
 *
 * Every complete value gets exactly one answer, in order and with its "id"; so does nothing else
 * but junk between them. Events arrive or are counted. What is kept for a client is bounded, and
 * gone with it.
 */
#include "daemon/control/command.h"
#include "daemon/control/control.h"
#include "daemon/control/json.h"
#include "daemon/control/keys.h"
#include "daemon/daemon.h"
#include "daemon/process/report.h"
#include "fuzz.h"
#include "util/cleanup.h"

#include <sys/socket.h>

#define CLIENTS_MAX 3
#define SENT_MAX    (1U << 20)
#define READ_AHEAD  (2 * 4096)          /* bytes that a session may have beyond a command */
#define ANSWER_MAX  (400U << 10)        /* bytes: the longest that is given below, with an "id" */
#define LONG_RESULT (40U << 10)         /* bytes */
#define GOT_MAX     (ANSWER_MAX + 4096) /* bytes: a line and what was read with its end */
#define FLOOD       20                  /* events of this many bytes: nobody's share of them fits */
#define FLOOD_BYTES (20U << 10)
#define FLOOD_MORE  4000 /* events that whoever is dropping them does not get either */
#define TURNS_MAX   20000

typedef struct Client {
    int sock;         /* -1: none */
    Session *session; /* NULL: it has ended */
    char *sent;
    size_t n_sent, done; /* what of it has been answered */
    char *got;
    size_t n_got;
    bool has_shut;  /* its sending side */
    bool was_heard; /* it has been greeted */
    bool too_long;  /* the server has said so, and that is the last it says */
    uint64_t n_told, n_heard;
} Client;

static Input input;
static struct Daemon server;
static Client clients[CLIENTS_MAX];
static char fill[LONG_RESULT]; /* what is long consists of this */
static char sent_bytes[CLIENTS_MAX][SENT_MAX], got_bytes[CLIENTS_MAX][GOT_MAX];

void report_line(int priority, const char *region, const char *line)
{
    (void)priority;
    (void)region;
    RULE(*line);
}

/* The commands. */

static int store_keys(const KeyTable *table, void *settings, json_t *arguments, ErrorText *error)
{
    int r = 0;
    const char *name;
    json_t *value;

    error->text[0] = '\0';
    json_object_foreach(arguments, name, value)
    {
        const Key *key = key_find(table, name);

        if (key && r == 0)
            r = keys_store(key, settings, value, error);
    }
    RULE((r < 0) == (*error->text != '\0'));
    return r;
}

int run_region_add(struct Daemon *daemon, json_t *arguments, json_t **result, ErrorText *error)
{
    RegionSettings settings;
    int r;

    RULE(daemon == &server && !*result && json_is_string(json_object_get(arguments, "region")));
    region_settings_init(&settings);
    r = store_keys(&region_keys, &settings, arguments, error);
    RULE(settings.config.n_vectors >= 1 && settings.config.shm_size > 0);
    RULE(settings.config.n_vectors <= IVSHMEM_SERVER_MAX_VECTORS);
    RULE(settings.config.max_clients <= 65536 && settings.config.n_ids <= 65536);
    region_settings_free(&settings);
    return r;
}

int run_listener_add(struct Daemon *daemon, json_t *arguments, json_t **result, ErrorText *error)
{
    ListenerSettings settings;
    int r;

    RULE(daemon == &server && !*result && json_is_string(json_object_get(arguments, "name")));
    listener_settings_init(&settings);
    r = store_keys(&listener_keys, &settings, arguments, error);
    RULE(settings.config.socket_mode >= -1 && settings.config.socket_mode <= 0777);
    RULE(settings.config.reserved_id >= -1 && settings.config.reserved_id <= 65535);
    RULE(settings.policy.users.n <= POLICY_MAX && settings.policy.read_only.n <= POLICY_MAX);
    return r;
}

static int fail(ErrorText *error)
{
    return error_set(error, -ENOENT, "there is no such thing");
}

#define COMMAND(name, what)                                                                        \
    int run_##name(struct Daemon *daemon, json_t *arguments, json_t **result, ErrorText *error)    \
    {                                                                                              \
        RULE(daemon == &server && json_is_object(arguments) && !*result);                          \
        error->text[0] = '\0';                                                                     \
        return what;                                                                               \
    }

COMMAND(client_disconnect, fail(error))
COMMAND(listener_remove, fail(error))
COMMAND(region_remove, 0)
COMMAND(reload, 0)
COMMAND(take_over, (server.control.hands_over = true, 0))
COMMAND(quit, 0)
COMMAND(query_version, (*result = json_deep_copy(arguments), 0))
COMMAND(query_commands, (*result = json_deep_copy(arguments), 0))
COMMAND(query_listeners, (*result = json_deep_copy(arguments), 0))
COMMAND(query_manifest, (*result = json_deep_copy(arguments), 0))
COMMAND(query_regions, (*result = json_array(), 0))
COMMAND(query_stats, (*result = json_deep_copy(arguments), 0))
COMMAND(query_status, (*result = json_integer(1), 0))

/* The answer to the command must be out by then, and what comes afterwards is for nobody but us:
 * bytes of which one kind keeps the connection. */
bool daemon_hand_over(struct Daemon *daemon, int sock)
{
    char byte;
    ssize_t n = recv(sock, &byte, 1, MSG_DONTWAIT);

    RULE(daemon == &server && sock >= 0 && !server.control.hands_over);
    return (n < 0 && errno == EAGAIN) || (n == 1 && byte == '{');
}

/* Nobody has passed a socket. */
int passed_find(const Passed *passed, const char *path)
{
    (void)passed, (void)path;
    return -1;
}

int run_query_clients(struct Daemon *daemon, json_t *arguments, json_t **result, ErrorText *error)
{
    (void)error;
    RULE(daemon == &server && json_is_object(arguments));
    *result = json_stringn_nocheck(fill, LONG_RESULT);
    return 0;
}

/* What is expected. */

/* Where the value at the beginning of the text ends, read as a whole; 0: it is not complete. */
static size_t value_end(const char *text, size_t n)
{
    unsigned depth = 0;

    for (size_t i = 0; i < n; i++) {
        if (text[i] == '"') {
            while (++i < n && text[i] != '"')
                i += text[i] == '\\';
        } else if (text[i] == '{' || text[i] == '[') {
            depth++;
        } else if ((text[i] == '}' || text[i] == ']') && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

static const char *description(const json_t *answer)
{
    const char *text = json_string_value(json_object_get(json_object_get(answer, "error"), "desc"));

    return text ? text : "";
}

/* The next value that the client has sent must be what this is the answer to. */
static void check_answer(Client *client, const json_t *answer)
{
    size_t begin = client->done, end;
    json_t *message;

    while (begin < client->n_sent && client->sent[begin] != '{' && client->sent[begin] != '[')
        begin++;
    end = value_end(client->sent + begin, client->n_sent - begin);
    RULE(end > 0);
    message = json_loadb(client->sent + begin, end, JSON_REJECT_DUPLICATES, NULL);
    client->done = begin + end;
    RULE((json_object_get(answer, "return") != NULL) != (json_object_get(answer, "error") != NULL));
    RULE(json_object_size(answer) == 1U + (json_object_get(answer, "id") != NULL));
    if (!message)
        RULE(strncmp(description(answer), "Invalid JSON: ", 14) == 0);
    else if (json_object_get(message, "id"))
        RULE(json_equal(json_object_get(message, "id"), json_object_get(answer, "id")));
    else
        RULE(!json_object_get(answer, "id"));
    json_decref(message);
}

static void check_event(Client *client, const json_t *event)
{
    const json_t *data = json_object_get(event, "data");

    if (strcmp(json_string_value(json_object_get(event, "event")), "EVENTS_DROPPED") == 0)
        client->n_heard += (uint64_t)json_integer_value(json_object_get(data, "count"));
    else
        client->n_heard++;
    RULE(json_object_get(json_object_get(event, "timestamp"), "microseconds"));
}

/* What is long is looked at, but not read as JSON, which would take most of the time. */
static json_t *read_line(const char *line, size_t n)
{
    static const struct {
        const char *before;
        size_t n;
    } known[] = {
        {"{\"return\":\"", LONG_RESULT},
        {"{\"event\":\"SOMETHING\",\"data\":{\"what\":\"", FLOOD_BYTES},
    };
    static char shorter[GOT_MAX];

    for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t at = strlen(known[i].before), end = at + known[i].n;

        if (n < end || memcmp(line, known[i].before, at) || memcmp(line + at, fill, known[i].n))
            continue;
        memcpy(shorter, line, at);
        memcpy(shorter + at, line + end, n - end);
        return json_loadb(shorter, n - known[i].n, 0, NULL);
    }
    return json_loadb(line, n, 0, NULL);
}

static void check_line(Client *client, const char *line, size_t n)
{
    json_t *message = read_line(line, n);

    RULE(n >= 2 && line[n - 2] == '\r' && json_is_object(message) && !client->too_long);
    if (!client->was_heard)
        RULE(json_object_get(message, "QMP"));
    else if (json_object_get(message, "event"))
        check_event(client, message);
    else if (strcmp(description(message), "the command has more than 65536 bytes") == 0)
        client->too_long = true;
    else if (strcmp(description(message), "Invalid JSON syntax") != 0)
        check_answer(client, message);
    client->was_heard = true;
    json_decref(message);
}

/* What stands at the end of what was sent and has not been answered. */
static void check_rest(const Client *client)
{
    size_t begin = client->done, n = 0;

    while (begin < client->n_sent && client->sent[begin] != '{' && client->sent[begin] != '[')
        begin++;
    n = client->n_sent - begin;
    if (client->too_long)
        RULE(client->n_sent - client->done >= SESSION_MAX_REQUEST);
    else
        RULE(value_end(client->sent + begin, n) == 0 && n <= SESSION_MAX_REQUEST + READ_AHEAD);
}

static void check_bounds(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        const Session *session = clients[i].session;

        n += session != NULL;
        RULE(!session || session->in_size <= SESSION_MAX_REQUEST + READ_AHEAD);
        RULE(!session || session->out_size <= SESSION_MAX_UNREAD + ANSWER_MAX);
    }
    RULE(n == server.control.n_sessions);
}

/* What happens. */

static void turn(void)
{
    RULE(loop_turn(&server.loop, 0) == 0);
    server.loop.stopped = false; /* a command to quit is not the end here */
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        const Session *session = server.control.sessions;

        while (session && session != clients[i].session)
            session = session->next;
        if (!session)
            clients[i].session = NULL;
    }
    check_bounds();
}

static void free_client(Client *client)
{
    client->sock = fd_close(client->sock);
    *client = (Client){.sock = -1, .session = client->session};
}

/* A client that has gone while its session has not is replaced when that has. */
static void open_client(Client *client)
{
    int ends[2], size = 16384;

    if (client->sock >= 0 || client->session)
        return;
    RULE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    RULE(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0);
    *client = (Client){
        .sock = ends[1],
        .sent = sent_bytes[client - clients],
        .got = got_bytes[client - clients],
    };
    RULE(session_open(&server.control, ends[0]) == 0);
    client->session = server.control.sessions;
    client->session->may_change = input_choose(&input, 8) > 0;
}

static void send_bytes(Client *client, const void *bytes, size_t n)
{
    ssize_t sent;

    if (client->sock < 0 || client->has_shut || client->n_sent + n > SENT_MAX)
        return;
    sent = send(client->sock, bytes, n, MSG_NOSIGNAL);
    if (sent <= 0)
        return;
    memcpy(client->sent + client->n_sent, bytes, (size_t)sent);
    client->n_sent += (size_t)sent;
}

static void send_input(Client *client)
{
    size_t n = input_choose(&input, 64);

    n = n < input.n ? n : input.n;
    if (n > 0)
        send_bytes(client, input.bytes, n);
    input.bytes += n;
    input.n -= n;
}

static void send_repeated(Client *client)
{
    static char bytes[65536];
    char byte = (char)input_number(&input, 1);
    size_t n = 1 + input_choose(&input, sizeof(bytes) - 1);

    memset(bytes, byte, n);
    send_bytes(client, bytes, n);
}

/* What fuzzers find hard to come by. */
static void send_phrase(Client *client)
{
    static const char *const phrases[] = {
        "{\"execute\":\"qmp_capabilities\"}",
        "{\"execute\":\"query-clients\",\"id\":[1]}",
        "{\"execute\":\"query-stats\",\"arguments\":{\"region\":\"x\"},\"id\":\"\\u0000\"}",
        "{\"execute\":\"region-add\",\"arguments\":{\"region\":\"x\",",
        "{\"execute\":\"listener-add\",\"arguments\":{\"region\":\"x\",\"name\":\"y\",",
        "\"reserved-id\":1,",
        "\"allow-user\":[0,\"root\",1],",
        "\"vectors\":2,",
        "\"socket\":\"/x\",",
        "\"hugepages\":\"2M\",",
        "\"observers\":true",
        "\"id\":{\"a\":1.5e3}",
        "}}",
        "\r\n",
    };
    const char *phrase = phrases[input_choose(&input, sizeof(phrases) / sizeof(phrases[0]))];

    send_bytes(client, phrase, strlen(phrase));
}

/* Looks at what has come. False if nothing has. */
static bool read_some(Client *client, size_t most)
{
    char bytes[4096];
    ssize_t n = client->sock < 0 ? -1 : recv(client->sock, bytes, most < 4096 ? most : 4096, 0);
    char *end;

    if (n <= 0)
        return false;
    RULE(client->n_got + (size_t)n <= GOT_MAX);
    memcpy(client->got + client->n_got, bytes, (size_t)n);
    client->n_got += (size_t)n;
    while ((end = memchr(client->got, '\n', client->n_got))) {
        size_t length = (size_t)(end - client->got) + 1;

        check_line(client, client->got, length);
        client->n_got -= length;
        memmove(client->got, client->got + length, client->n_got);
    }
    return true;
}

/* One event, n times. All but the first are sent as control_tell() does, but written only once. */
static void tell_repeated(unsigned n, size_t n_bytes)
{
    json_t *data = json_pack("{s:s%}", "what", fill, n_bytes), *event;
    size_t length;
    char *line;

    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (clients[i].session && clients[i].session->is_negotiated)
            clients[i].n_told += n;
    control_tell(&server.control, "SOMETHING", json_incref(data));
    event = json_event("SOMETHING", data);
    line = json_line(event, &length);
    RULE(line);
    while (--n > 0)
        for (unsigned i = 0; i < CLIENTS_MAX; i++)
            if (clients[i].session)
                session_send_event(clients[i].session, line, length);
    free(line);
    json_decref(event);
}

/* After three of them, who does not read is disconnected with the next event. Whoever has some
 * dropped by the end would not get thousands more either: as those take long, they are counted
 * only. */
static void flood(void)
{
    tell_repeated(FLOOD, FLOOD_BYTES);
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        Session *session = clients[i].session;
        unsigned more = FLOOD_MORE;

        /* One that has been closed is still there until the next turn. */
        if (!session || session->handler.retired || session->n_dropped == 0)
            continue;
        if (more > SESSION_MAX_DROPPED - session->n_dropped)
            more = SESSION_MAX_DROPPED - session->n_dropped;
        session->n_dropped += more;
        clients[i].n_told += more;
    }
}

static void tell(void)
{
    unsigned n = input_choose(&input, 32);

    if (n == 31)
        flood();
    else if (n > 0)
        tell_repeated(n, 1);
}

static void act(void)
{
    Client *client = &clients[input_choose(&input, CLIENTS_MAX)];

    switch (input_choose(&input, 16)) {
    case 0:
        open_client(client);
        break;
    case 1:
    case 2:
    case 3:
        send_input(client);
        break;
    case 4:
        send_repeated(client);
        break;
    case 5:
    case 6:
    case 7:
    case 8:
        send_phrase(client);
        break;
    case 9:
        (void)read_some(client, 1 + input_choose(&input, 65536));
        break;
    case 10:
        tell();
        break;
    case 11:
        client->has_shut = client->sock >= 0 && shutdown(client->sock, SHUT_WR) == 0;
        break;
    case 12:
        free_client(client);
        break;
    default:
        break;
    }
    turn();
}

/* What changes while a session has something to do. */
static uint64_t progress(void)
{
    uint64_t sum = server.control.busy_turn;

    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (clients[i].session)
            sum += clients[i].session->in_used;
    return sum;
}

/* All clients read until nothing more comes. */
static void settle(void)
{
    unsigned idle = 0;

    for (unsigned i = 0; i < TURNS_MAX && idle < 2 * CLIENTS_MAX; i++) {
        bool has_read = false;
        uint64_t before = progress();

        turn();
        for (unsigned j = 0; j < CLIENTS_MAX; j++)
            while (read_some(&clients[j], SIZE_MAX))
                has_read = true;
        idle = has_read || before != progress() ? 0 : idle + 1;
    }
    RULE(idle == 2 * CLIENTS_MAX);
}

static void check_settled(const Client *client)
{
    const Session *session = client->session;

    if (client->sock < 0) {
        RULE(!session);
        return;
    }
    /* Where it was cut off for what it did not read, there may be half a line. */
    RULE(client->n_got == 0 || (!session && client->n_told > SESSION_MAX_DROPPED));
    RULE(client->was_heard);
    if (session)
        RULE(!client->too_long && !client->has_shut);
    else
        RULE(client->too_long || client->has_shut || client->n_told > SESSION_MAX_DROPPED);
    if (session || client->n_told <= SESSION_MAX_DROPPED)
        check_rest(client);
    if (session)
        RULE(client->n_heard + session->n_dropped == client->n_told);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    int open_before = count_open_fds();

    input = (Input){bytes, n};
    memset(fill, 'x', sizeof(fill));
    server = (struct Daemon){.control = CONTROL_NONE};
    server.control.daemon = &server;
    RULE(loop_init(&server.loop) == 0);
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        clients[i] = (Client){.sock = -1};
    open_client(&clients[0]);
    while (input.n > 0)
        act();
    settle();
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        check_settled(&clients[i]);
    /* Whoever ends his side is not kept; whoever hangs up neither. */
    if (clients[0].sock >= 0)
        clients[0].has_shut = shutdown(clients[0].sock, SHUT_WR) == 0 || clients[0].has_shut;
    for (unsigned i = 1; i < CLIENTS_MAX; i++)
        free_client(&clients[i]);
    settle();
    RULE(server.control.n_sessions == 0 && !server.control.sessions);
    free_client(&clients[0]);
    loop_free(&server.loop);
    RULE(count_open_fds() == open_before);
    return 0;
}
