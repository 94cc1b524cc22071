/* SPDX-License-Identifier: MIT */
/*
 * Random operations on a real server, held against a plain model.
 *
 * Clients connect, read a little or nothing, hang up, shut down, write what they must not; system
 * calls fail; the server gets a turn now and then. Each client is followed (follower.h) all the
 * time. Now and then the test lets everything settle, and then the model must be true:
 *
 * - every client that is still connected has its set-up, and knows exactly the others that are, but
 *   for those whose ID it had already seen leave;
 * - an ID given out afterwards is the lowest that is not in use and that no connected client knows;
 *   only if there is none may somebody know it;
 * - a reserved ID is there for everybody all the time, and an observer for nobody;
 * - ringing each vector of each peer that it knows reaches that peer, and that vector;
 * - the server's counters are what a recount of its views gives.
 *
 * MODEL_SEED and MODEL_STEPS in the environment choose the run; both are printed.
 */
#include "../lib/follower.h"
#include "faults.h"
#include "ivshmem-server.h"
#include "server/core.h"
#include "server/view.h"
#include "util/address.h"
#include "util/cleanup.h"
#include "util/testing.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#define MAX_CLIENTS 24
#define MAX_IDS     40
#define RESERVED_ID 2

/* What is small, so that it runs out. */
typedef struct Setting {
    unsigned n_vectors, n_clients, n_ids;
    unsigned allowance; /* descriptors in flight; 0: no limit */
} Setting;

typedef struct ModelClient {
    Follower follower; /* sock is -1: there is no client here */
    bool rude;         /* it has broken the protocol: the server must end it */
    const char *path;  /* of the listener that it uses */
    bool observer;
} ModelClient;

typedef struct Model {
    IvshmemServer server;
    char path[64], reserved_path[64], observer_path[64];
    Setting setting;
    ModelClient clients[MAX_CLIENTS];
    uint64_t step, n_messages, n_joins, n_recycled, n_settled;
} Model;

#define CHECK(model, condition, ...)                                                               \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_error("step %" PRIu64 ": ", (model)->step);                                      \
            print_error(__VA_ARGS__);                                                              \
            print_error("\n");                                                                     \
            fail();                                                                                \
        }                                                                                          \
    } while (0)

static ModelClient *random_client(Model *model)
{
    ModelClient *client = &model->clients[faults_random(model->setting.n_clients)];

    return client->follower.sock >= 0 ? client : NULL;
}

static void drop(ModelClient *client)
{
    follower_free(&client->follower);
    client->follower.sock = -1;
}

static void read_some(Model *model, ModelClient *client, unsigned most)
{
    int n = follower_read(&client->follower, most);

    CHECK(model, n >= 0, "%s", client->follower.wrong);
    model->n_messages += (unsigned)n;
}

static void dispatch(Model *model)
{
    int r = ivshmem_server_dispatch(&model->server);

    CHECK(model, r == 0, "dispatch: %s", ivshmem_server_error(&model->server));
}

static ModelClient *connect_client(Model *model)
{
    ModelClient *client = &model->clients[faults_random(model->setting.n_clients)];
    struct sockaddr_un address;
    int sock;

    if (client->follower.sock >= 0)
        return NULL;
    sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(sock >= 0);
    assert_int_equal(address_of_path(client->path, &address), 0);
    if (connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0) {
        fd_close(sock); /* the backlog is full */
        return NULL;
    }
    assert_true(
        follower_init(&client->follower, sock, model->setting.n_vectors, model->setting.n_ids));
    client->follower.observer = client->observer;
    client->rude = false;
    model->n_joins++;
    return client;
}

static void be_rude(ModelClient *client)
{
    if (faults_random(2))
        (void)shutdown(client->follower.sock, SHUT_WR);
    else
        (void)send(client->follower.sock, "rude", 1 + faults_random(4), MSG_NOSIGNAL);
    client->rude = true;
}

/* Lets the server and all clients go on until nothing is left to do. */
static void settle(Model *model)
{
    struct pollfd server = {ivshmem_server_get_fd(&model->server), POLLIN, 0};
    ServerCore *core = model->server.core_;
    unsigned one_in = faults.one_in;

    faults.one_in = 0;
    for (unsigned round = 0;; round++) {
        bool busy = false;

        CHECK(model, round < 100000, "the server does not settle");
        while (poll(&server, 1, 0) > 0) {
            dispatch(model);
            busy = true;
        }
        for (unsigned i = 0; i < MAX_CLIENTS; i++) {
            ModelClient *client = &model->clients[i];
            uint64_t before = model->n_messages;

            if (client->follower.sock < 0)
                continue;
            read_some(model, client, UINT32_MAX);
            busy |= model->n_messages != before;
            if (client->follower.ended)
                drop(client);
        }
        if (!busy) { /* what is put off comes with a timer: now, so that nobody waits for it */
            bool waits = false;

            for (TimerKind kind = 0; kind < N_TIMERS; kind++) {
                if (core->timers.due[kind] != TIMER_NEVER) {
                    timers_set(&core->timers, kind, 1);
                    waits = true;
                }
            }
            if (!waits)
                break;
            assert_int_equal(poll(&server, 1, 1000), 1);
        }
    }
    faults.one_in = one_in;
    model->n_settled++;
}

static ModelClient *find_id(Model *model, int64_t id)
{
    for (unsigned i = 0; i < MAX_CLIENTS; i++)
        if (model->clients[i].follower.sock >= 0 && model->clients[i].follower.id == id)
            return &model->clients[i];
    return NULL;
}

static bool is_present(Model *model, int64_t id)
{
    return id == RESERVED_ID || find_id(model, id);
}

static bool is_known_to_anybody(const Model *model, uint32_t id)
{
    for (unsigned i = 0; i < MAX_CLIENTS; i++) {
        const Follower *follower = &model->clients[i].follower;

        if (follower->sock >= 0 &&
            (follower->id == id || follower->peers[id].state != PEER_UNKNOWN))
            return true;
    }
    return false;
}

static void check_knowledge(Model *model, const Follower *follower)
{
    CHECK(model, follower->set_up, "client %" PRId64 " has not got its set-up", follower->id);
    for (uint32_t id = 0; id < model->setting.n_ids; id++) {
        FollowerPeerState state = follower->peers[id].state;
        bool there = is_present(model, id);

        if (id == RESERVED_ID)
            CHECK(model, state == PEER_TOLD, "client %" PRId64 " does not know the reserved peer",
                  follower->id);
        else if (there)
            CHECK(model, state == PEER_TOLD || (state == PEER_GONE && id != follower->id),
                  "client %" PRId64 " does not know peer %u", follower->id, id);
        else
            CHECK(model, state == PEER_UNKNOWN || state == PEER_GONE,
                  "client %" PRId64 " does not know that peer %u has gone", follower->id, id);
    }
}

static void check_doorbells(Model *model, const Follower *from, const Follower *to)
{
    const FollowerPeer *peer;

    if (to->observer)
        return;
    peer = &from->peers[to->id];
    if (peer->state != PEER_TOLD)
        return;
    for (unsigned v = 0; v < model->setting.n_vectors; v++) {
        uint64_t ring = 1, got = 0;

        assert_int_equal(write(peer->vectors[v], &ring, sizeof(ring)), sizeof(ring));
        CHECK(model,
              read(to->peers[to->id].vectors[v], &got, sizeof(got)) == sizeof(got) && got == 1,
              "a doorbell of %" PRId64 " to vector %u of %" PRId64 " does not arrive", from->id, v,
              to->id);
    }
}

/* The counters of ids.h, from the views. */
static void check_counters(Model *model)
{
    const ServerCore *core = model->server.core_;
    uint32_t known[MAX_IDS] = {0}, slot, n = 0;

    BITMAP_FOREACH(slot, core->state.slots, core->state.header->max_clients) {
        n++;
        for (uint32_t id = 0; id < model->setting.n_ids; id++) {
            ViewWord word = *view_word(&core->state, slot, id);

            known[id] += (word.told | word.spent) >> (id % 64) & 1;
        }
    }
    CHECK(model, n == core->state.header->n_clients, "%u clients counted", n);
    for (uint32_t id = 0; id < model->setting.n_ids; id++) {
        known[id] += bitmap_test(core->state.present, id);
        CHECK(model, known[id] == core->ids.known[id], "ID %u is known to %u, not %u", id,
              known[id], core->ids.known[id]);
    }
}

static void check_settled(Model *model)
{
    unsigned n_clients = 0, n_peers = 0;
    const IvshmemServerPeer *peer;

    settle(model);
    for (unsigned i = 0; i < MAX_CLIENTS; i++) {
        ModelClient *client = &model->clients[i];

        if (client->follower.sock < 0)
            continue;
        n_clients++;
        CHECK(model, !client->rude, "a rude client is still connected");
        CHECK(model,
              client->observer || ivshmem_server_search_peer(&model->server, client->follower.id),
              "peer %" PRId64 " is not in the server's list", client->follower.id);
        check_knowledge(model, &client->follower);
        for (unsigned j = 0; j < MAX_CLIENTS; j++)
            if (j != i && model->clients[j].follower.sock >= 0)
                check_doorbells(model, &client->follower, &model->clients[j].follower);
    }
    IVSHMEM_SERVER_FOREACH_PEER(peer, &model->server)
        n_peers++;
    CHECK(model, n_peers == n_clients, "the server lists %u peers, %u are there", n_peers,
          n_clients);
    check_counters(model);
}

/* The next ID is the lowest that is neither in use nor known. */
static void check_next_id(Model *model)
{
    unsigned one_in = faults.one_in;
    ModelClient *client;
    uint32_t expected = 0;

    check_settled(model);
    while (expected < model->setting.n_ids &&
           (expected == RESERVED_ID || is_known_to_anybody(model, expected)))
        expected++;
    client = connect_client(model);
    if (!client || client->path != model->path)
        return;
    faults.one_in = 0;
    dispatch(model);
    faults.one_in = one_in;
    read_some(model, client, 2);
    CHECK(model, client->follower.id >= 0, "no ID at once");
    if (expected < model->setting.n_ids)
        CHECK(model, client->follower.id == expected, "ID %" PRId64 " instead of %u",
              client->follower.id, expected);
    else
        model->n_recycled++;
}

static void do_step(Model *model)
{
    uint32_t what = faults_random(1000);
    ModelClient *client = random_client(model);

    if (what < 400) {
        dispatch(model);
    } else if (what < 700) {
        if (client)
            read_some(model, client, 1 + faults_random(20));
    } else if (what < 860) {
        (void)connect_client(model);
    } else if (what < 960) {
        /* the first of them stay longer, and so use IDs up */
        if (client && (client >= &model->clients[2] || faults_random(50) == 0))
            drop(client);
    } else if (what < 970) {
        if (client)
            be_rude(client);
    } else if (what < 980) {
        faults.one_in = faults_random(2) ? 0 : 2 + faults_random(30);
    } else if (what < 982) {
        check_settled(model);
    } else if (what < 985) {
        check_next_id(model);
    }
}

static uint64_t environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void name_path(char path[static 64], const char *what)
{
    (void)snprintf(path, 64, "/tmp/ivshmem-model-%d-%s", (int)getpid(), what);
}

/* The last two clients use listeners of their own. */
static void add_listeners(Model *model)
{
    ModelClient *reserved = &model->clients[model->setting.n_clients - 1], *observer = reserved - 1;
    IvshmemServerListenerConfig config;

    ivshmem_server_listener_config_init(&config);
    config.unix_sock_path = reserved->path = model->reserved_path;
    config.reserved_id = RESERVED_ID;
    assert_int_equal(ivshmem_server_listener_add(&model->server, &config), 1);
    config.unix_sock_path = observer->path = model->observer_path;
    config.reserved_id = -1;
    config.observers = observer->observer = true;
    assert_int_equal(ivshmem_server_listener_add(&model->server, &config), 2);
}

static void start(Model *model, const Setting *setting)
{
    IvshmemServerConfig config;

    *model = (Model){.setting = *setting};
    name_path(model->path, "any");
    name_path(model->reserved_path, "reserved");
    name_path(model->observer_path, "observer");
    for (unsigned i = 0; i < MAX_CLIENTS; i++) {
        model->clients[i].follower.sock = -1;
        model->clients[i].path = model->path;
    }
    ivshmem_server_config_init(&config);
    config.unix_sock_path = model->path;
    config.memory = IVSHMEM_SERVER_MEMORY_MEMFD;
    config.shm_size = 4096;
    config.n_vectors = setting->n_vectors;
    config.n_ids = setting->n_ids;
    assert_int_equal(ivshmem_server_init_config(&model->server, &config), 0);
    assert_int_equal(ivshmem_server_start(&model->server), 0);
    add_listeners(model);
    model->server.core_->flight.asked = true;
    model->server.core_->flight.limited = setting->allowance > 0;
    if (setting->allowance)
        model->server.core_->flight.allowance = setting->allowance;
}

static void remove_lock(const char *path)
{
    char lock[80];

    (void)snprintf(lock, sizeof(lock), "%s.lock", path);
    (void)unlink(lock);
}

static void stop(Model *model)
{
    for (unsigned i = 0; i < MAX_CLIENTS; i++)
        if (model->clients[i].follower.sock >= 0)
            drop(&model->clients[i]);
    ivshmem_server_close(&model->server);
    remove_lock(model->path);
    remove_lock(model->reserved_path);
    remove_lock(model->observer_path);
}

static void run(Setting setting)
{
    uint64_t steps = environment("MODEL_STEPS", getenv("IVSHMEM_LONG") ? 2500000 : 60000);
    int open_before = count_open_fds();
    static Model model;

    faults.one_in = 0;
    faults.injected = 0;
    start(&model, &setting);
    for (; model.step < steps; model.step++)
        do_step(&model);
    check_settled(&model);
    stop(&model);
    assert_int_equal(count_open_fds(), open_before);
    print_message("# %u vectors: %" PRIu64 " steps, %" PRIu64 " joins, %" PRIu64
                  " messages followed, %" PRIu64 " faults, %" PRIu64 " times settled, %" PRIu64
                  " recycled IDs\n",
                  setting.n_vectors, model.step, model.n_joins, model.n_messages, faults.injected,
                  model.n_settled, model.n_recycled);
    assert_true(model.n_joins > 0 && model.n_messages > 0 && faults.injected > 0);
    assert_true(model.n_recycled > 0);
}

static void test_1_vector(void **state)
{
    (void)state;
    run((Setting){.n_vectors = 1, .n_clients = 24, .n_ids = 40});
}

static void test_5_vectors(void **state)
{
    (void)state;
    run((Setting){.n_vectors = 5, .n_clients = 24, .n_ids = 40});
}

/* So many that a socket does not take a few peers' worth of messages. */
static void test_150_vectors(void **state)
{
    (void)state;
    run((Setting){.n_vectors = 150, .n_clients = 6, .n_ids = 12});
}

static void test_few_in_flight(void **state)
{
    (void)state;
    run((Setting){.n_vectors = 7, .n_clients = 20, .n_ids = 40, .allowance = 256});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_1_vector),
        cmocka_unit_test(test_5_vectors),
        cmocka_unit_test(test_150_vectors),
        cmocka_unit_test(test_few_in_flight),
    };
    struct rlimit limit;
    struct timespec now;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    faults.random = environment("MODEL_SEED", (uint64_t)now.tv_nsec | 1);
    print_message("# MODEL_SEED=%" PRIu64 "\n", faults.random);
    faults_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
