/* SPDX-License-Identifier: MIT */
/*
 * A state that somebody has written to on its way from one process to another: it is refused, or
 * the server that goes on from it keeps its rules to whoever comes from then on, and loses no
 * descriptor. (To those that were there it can tell only what the state says that they know.)
 *
 * Of an input, the first bytes say how many vectors there are and how far the clients have read;
 * the rest is a row of changes to the state: the part, the place in it, how many bytes, the bytes.
 */
#include "ivshmem-server.h"
#include "lib/follower.h"
#include "server/core.h"
#include "server/view.h"
#include "util/address.h"
#include "util/cleanup.h"

#include "fuzz.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define N_IDS       40
#define N_CLIENTS   6
#define N_LISTENERS 3
#define N_FDS       512
#define FDS_LIMIT   8192
#define TURNS       200

/* Where listeners are; they differ in what their clients are. */
static char paths[N_LISTENERS][64];

static int connect_to(const char *path)
{
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un address;

    RULE(sock >= 0 && address_of_path(path, &address) == 0);
    if (connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0)
        return fd_close(sock);
    return sock;
}

static void dispatch(IvshmemServer *server)
{
    struct pollfd ready = {ivshmem_server_get_fd(server), POLLIN, 0};

    for (unsigned i = 0; i < TURNS && poll(&ready, 1, 0) > 0; i++)
        RULE(ivshmem_server_dispatch(server) == 0);
}

static IvshmemServerConfig configure(int state_fd, unsigned n_vectors)
{
    IvshmemServerConfig config;

    ivshmem_server_config_init(&config);
    config.unix_sock_path = paths[0];
    config.memory = IVSHMEM_SERVER_MEMORY_MEMFD;
    config.shm_size = 4096;
    config.n_vectors = n_vectors;
    config.n_ids = N_IDS;
    config.max_clients = 12;
    config.state_fd = state_fd;
    return config;
}

static void start(IvshmemServer *server, int state_fd, unsigned n_vectors)
{
    const IvshmemServerConfig config = configure(state_fd, n_vectors);
    IvshmemServerListenerConfig listener;

    RULE(ivshmem_server_init_config(server, &config) == 0 && ivshmem_server_start(server) == 0);
    ivshmem_server_listener_config_init(&listener);
    listener.unix_sock_path = paths[1];
    listener.reserved_id = 2;
    RULE(ivshmem_server_listener_add(server, &listener) == 1);
    listener.unix_sock_path = paths[2];
    listener.reserved_id = -1;
    listener.observers = true;
    RULE(ivshmem_server_listener_add(server, &listener) == 2);
}

static void read_some(int sock, unsigned n)
{
    uint64_t value;

    while (n-- > 0 && recv(sock, &value, sizeof(value), MSG_DONTWAIT) == sizeof(value))
        ;
}

/* Writes to what recover() reads. */
static void damage(Input *input, int state_fd)
{
    ErrorText error;
    State state;
    size_t n_eventfds; /* as they are laid out, whatever the header says later */

    RULE(state_open(&state, state_fd, &error) == 0);
    n_eventfds = (size_t)N_CLIENTS * state.header->max_vectors;
    while (input->n > 0) {
        struct Part {
            void *start;
            size_t size;
        } parts[] = {
            {state.header, sizeof(*state.header)},
            {state.clients, N_CLIENTS * sizeof(*state.clients)},
            {state.listeners, N_LISTENERS * sizeof(*state.listeners)},
            {state.batch, offsetof(StateBatch, messages)},
            {state.eventfds, n_eventfds * sizeof(int32_t)},
            {state.views, VIEW_TILE_CLIENTS * sizeof(ViewWord)},
        };
        uint32_t which = input_choose(input, sizeof(parts) / sizeof(parts[0]));
        uint32_t at = input_choose(input, 65536) % (uint32_t)parts[which].size;
        size_t n = 1 + input_choose(input, 8);
        uint64_t value = input_number(input, n);

        if (n > parts[which].size - at)
            n = parts[which].size - at;
        memcpy((uint8_t *)parts[which].start + at, &value, n);
    }
    munmap(state.base, state.size);
}

/* The descriptors that go from one process to the other, and their numbers there and here. */
typedef struct Parcel {
    int there[N_FDS], here[N_FDS];
    unsigned n;
} Parcel;

static void pack(void *opaque, int fd)
{
    Parcel *parcel = opaque;

    RULE(parcel->n < N_FDS);
    parcel->there[parcel->n++] = fd;
}

static void ignore(void *opaque, int fd)
{
    (void)opaque, (void)fd;
}

static void unpack(Parcel *parcel)
{
    for (unsigned i = 0; i < parcel->n; i++)
        parcel->here[i] = fcntl(parcel->there[i], F_DUPFD_CLOEXEC, 0);
    for (unsigned i = 0; i < parcel->n; i++)
        fd_close(parcel->there[i]);
}

static int renumber(void *opaque, int fd, bool passed)
{
    const Parcel *parcel = opaque;

    (void)passed; /* what an earlier process has passed to nobody in the end */

    for (unsigned i = 0; i < parcel->n; i++)
        if (parcel->there[i] == fd)
            return parcel->here[i];
    return -1;
}

static void leave_out(void *opaque, int fd)
{
    Parcel *parcel = opaque;

    for (unsigned i = 0; i < parcel->n; i++)
        if (parcel->here[i] == fd)
            parcel->here[i] = -1;
}

/* What came and nobody knows. */
static void sort_out(IvshmemServer *server, Parcel *parcel)
{
    if (server)
        ivshmem_server_each_fd(server, leave_out, parcel);
    for (unsigned i = 0; i < parcel->n; i++)
        if (parcel->here[i] >= 0 && (!server || ivshmem_server_adopt(server, parcel->here[i]) < 0))
            fd_close(parcel->here[i]);
}

/* A newcomer sees a server that keeps the rules, whatever it has been told to believe of others. */
static void be_followed(IvshmemServer *server, unsigned listener, unsigned n_vectors)
{
    IvshmemServerListenerInfo info;
    Follower follower;
    int sock = connect_to(paths[listener]);

    if (sock < 0)
        return;
    RULE(follower_init(&follower, sock, n_vectors, N_IDS));
    follower.observer =
        ivshmem_server_listener_info(server, (int)listener, &info) == 0 && info.observers;
    dispatch(server);
    if (n_vectors == 1 && follower_read(&follower, UINT32_MAX) < 0) {
        (void)fprintf(stderr, "%s\n", follower.wrong);
        abort();
    }
    follower_free(&follower);
    dispatch(server);
}

static void go_on(int state_fd, unsigned n_vectors, Parcel *parcel)
{
    static IvshmemServer server;
    const IvshmemServerConfig config = configure(state_fd, n_vectors);

    RULE(ivshmem_server_init_config(&server, &config) == 0);
    if (ivshmem_server_resume(&server) < 0) {
        RULE(*ivshmem_server_error(&server));
        sort_out(NULL, parcel);
        return;
    }
    sort_out(&server, parcel);
    dispatch(&server);
    for (unsigned i = 0; i < 2 * N_LISTENERS; i++)
        be_followed(&server, i % N_LISTENERS, n_vectors);
    ivshmem_server_close(&server);
}

static void prepare(void)
{
    struct rlimit limit;

    RULE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_max > FDS_LIMIT)
        limit.rlim_cur = FDS_LIMIT;
    RULE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    for (unsigned i = 0; i < N_LISTENERS; i++)
        (void)snprintf(paths[i], sizeof(paths[i]), "fuzz-resume-%d-%u", (int)getpid(), i);
}

static void clean_up(void)
{
    for (unsigned i = 0; i < N_LISTENERS; i++) {
        char lock[256];

        (void)snprintf(lock, sizeof(lock), "%s.lock", paths[i]);
        (void)unlink(paths[i]);
        (void)unlink(lock);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static IvshmemServer server;
    int open_before = count_open_fds(), socks[N_CLIENTS];
    Input input = {bytes, n};
    unsigned n_vectors = 1 + input_choose(&input, 3);
    char why[IVSHMEM_SERVER_ERROR_SIZE] = "";
    int from = memfd_create("fuzz", MFD_CLOEXEC), to = memfd_create("fuzz", MFD_CLOEXEC);
    IvshmemServerImport *import = NULL;
    Parcel parcel = {.n = 0};

    RULE(from >= 0 && to >= 0);
    if (!*paths[0])
        prepare();
    start(&server, from, n_vectors);
    for (unsigned i = 0; i < N_CLIENTS; i++) {
        socks[i] = connect_to(paths[i % N_LISTENERS]);
        RULE(socks[i] >= 0 && ivshmem_server_dispatch(&server) == 0);
        read_some(socks[i], input_choose(&input, 16));
    }
    ivshmem_server_each_fd(&server, pack, &parcel);
    (void)ivshmem_server_pass(&server, n % 7, ignore, NULL);
    if (n % 2)
        import = ivshmem_server_import_begin(to, from);
    ivshmem_server_abandon(&server);
    unpack(&parcel);
    damage(&input, from);
    if ((import ? ivshmem_server_import_end(import, renumber, &parcel, why)
                : ivshmem_server_import(to, from, renumber, &parcel, why)) == 0) {
        go_on(to, n_vectors, &parcel);
    } else {
        RULE(*why);
        sort_out(NULL, &parcel);
    }
    ivshmem_server_import_free(import);
    for (unsigned i = 0; i < N_CLIENTS; i++)
        fd_close(socks[i]);
    fd_close(from);
    fd_close(to);
    clean_up();
    RULE(count_open_fds() == open_before);
    return 0;
}
