/* SPDX-License-Identifier: MIT */
#include "model.h"

#include "clock.h"
#include "faults.h"
#include "server/core.h"
#include "server/view.h"
#include "util/address.h"
#include "util/cleanup.h"
#include "util/fdpass.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

#define CHECK(model, condition, ...)                                                               \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail(model, __VA_ARGS__);                                                              \
    } while (0)

__attribute__((noreturn, format(printf, 2, 3))) static void fail(const Model *model,
                                                                 const char *format, ...)
{
    char what[384], why[512];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    (void)snprintf(why, sizeof(why), "step %" PRIu64 ": %s", model->step, what);
    model->driver.fail(why);
}

static uint32_t choose(const Model *model, uint32_t n)
{
    return model->driver.choose(n);
}

static ModelClient *random_place(Model *model)
{
    return &model->clients[choose(model, model->setting.n_clients)];
}

static ModelClient *random_client(Model *model)
{
    ModelClient *client = random_place(model);

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

/* False if it is there already, or if the server has too many waiting. */
static bool connect_client(Model *model, ModelClient *client)
{
    struct sockaddr_un address;
    int sock;

    if (client->follower.sock >= 0)
        return false;
    sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK(model, sock >= 0 && address_of_path(client->path, &address) == 0, "no socket");
    if (connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0) {
        fd_close(sock); /* the backlog is full */
        return false;
    }
    CHECK(model,
          follower_init(&client->follower, sock, model->setting.n_vectors, model->setting.n_ids),
          "no memory");
    client->follower.observer = client->observer;
    client->rude = false;
    model->n_joins++;
    return true;
}

static void be_rude(const Model *model, ModelClient *client)
{
    if (choose(model, 2))
        (void)shutdown(client->follower.sock, SHUT_WR);
    else
        (void)send(client->follower.sock, "rude", 1 + choose(model, 4), MSG_NOSIGNAL);
    client->rude = true;
}

/* Lets the server and all clients go on until nothing is left to do. */
static void settle(Model *model)
{
    struct pollfd server = {ivshmem_server_get_fd(&model->server), POLLIN, 0};
    unsigned one_in = faults.one_in;

    faults.one_in = 0;
    for (unsigned round = 0;; round++) {
        bool busy = false;

        CHECK(model, round < 100000, "the server does not settle");
        while (poll(&server, 1, 0) > 0) {
            dispatch(model);
            busy = true;
        }
        for (unsigned i = 0; i < MODEL_CLIENTS; i++) {
            ModelClient *client = &model->clients[i];
            uint64_t before = model->n_messages;

            if (client->follower.sock < 0)
                continue;
            read_some(model, client, UINT32_MAX);
            busy |= model->n_messages != before;
            if (client->follower.ended)
                drop(client);
        }
        if (!busy) { /* what is put off comes with a timer */
            if (!clock_pass_to_timer())
                break;
            CHECK(model, poll(&server, 1, 0) == 1, "a timer that is due does not come");
        }
    }
    faults.one_in = one_in;
    model->n_settled++;
}

static ModelClient *find_id(Model *model, int64_t id)
{
    for (unsigned i = 0; i < MODEL_CLIENTS; i++)
        if (model->clients[i].follower.sock >= 0 && model->clients[i].follower.id == id)
            return &model->clients[i];
    return NULL;
}

static bool is_present(Model *model, int64_t id)
{
    return id == MODEL_RESERVED_ID || find_id(model, id);
}

/* How many clients have been told of an ID, or have it. */
static unsigned count_knowing(const Model *model, uint32_t id)
{
    unsigned n = 0;

    for (unsigned i = 0; i < MODEL_CLIENTS; i++) {
        const Follower *follower = &model->clients[i].follower;

        n += follower->sock >= 0 &&
             (follower->id == id || follower->peers[id].state != PEER_UNKNOWN);
    }
    return n;
}

static void check_knowledge(Model *model, const Follower *follower)
{
    CHECK(model, follower->set_up, "client %" PRId64 " has not got its set-up", follower->id);
    for (uint32_t id = 0; id < model->setting.n_ids; id++) {
        FollowerPeerState state = follower->peers[id].state;
        bool there = is_present(model, id);

        if (id == MODEL_RESERVED_ID)
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

        CHECK(model,
              write(peer->vectors[v], &ring, sizeof(ring)) == sizeof(ring) &&
                  read(to->peers[to->id].vectors[v], &got, sizeof(got)) == sizeof(got) && got == 1,
              "a doorbell of %" PRId64 " to vector %u of %" PRId64 " does not arrive", from->id, v,
              to->id);
    }
}

/* The counters of ids.h, from the views. */
static void check_counters(Model *model)
{
    const ServerCore *core = model->server.core_;
    uint32_t known[MODEL_IDS] = {0}, slot, n = 0;

    BITMAP_FOREACH(slot, core->state.slots, core->state.header->max_clients) {
        n++;
        for (uint32_t id = 0; id < model->setting.n_ids; id++) {
            ViewWord word = view_word(&core->state, slot, id);

            known[id] += (word.told | word.spent) >> (id % 64) & 1;
        }
    }
    CHECK(model, n == core->state.header->n_clients, "%u clients counted", n);
    for (uint32_t id = 0; id < model->setting.n_ids; id++) {
        known[id] += bitmap_test(core->state.present, id);
        CHECK(model, known[id] == ids_count(&core->ids, id), "ID %u is known to %u, not %u", id,
              known[id], ids_count(&core->ids, id));
    }
}

void model_check_settled(Model *model)
{
    unsigned n_clients = 0, n_peers = 0;
    const IvshmemServerPeer *peer;

    settle(model);
    for (unsigned i = 0; i < MODEL_CLIENTS; i++) {
        ModelClient *client = &model->clients[i];

        if (client->follower.sock < 0)
            continue;
        n_clients++;
        CHECK(model, !client->rude, "a rude client is still connected");
        CHECK(model,
              client->observer || ivshmem_server_search_peer(&model->server, client->follower.id),
              "peer %" PRId64 " is not in the server's list", client->follower.id);
        check_knowledge(model, &client->follower);
        for (unsigned j = 0; j < MODEL_CLIENTS; j++)
            if (j != i && model->clients[j].follower.sock >= 0)
                check_doorbells(model, &client->follower, &model->clients[j].follower);
    }
    IVSHMEM_SERVER_FOREACH_PEER(peer, &model->server)
        n_peers++;
    CHECK(model, n_peers == n_clients, "the server lists %u peers, %u are there", n_peers,
          n_clients);
    check_counters(model);
}

/* The ID that the next client must get: of those that nobody has, the lowest of those that the
 * fewest know. Nobody at all knows it unless `recycled`. */
static uint32_t next_id(Model *model, bool *recycled)
{
    unsigned fewest = UINT32_MAX;
    uint32_t next = 0;

    for (uint32_t id = 0; id < model->setting.n_ids; id++) {
        unsigned n = count_knowing(model, id);

        if (n < fewest && !is_present(model, id)) {
            fewest = n;
            next = id;
        }
    }
    CHECK(model, fewest != UINT32_MAX, "all IDs are in use");
    *recycled = fewest > 0;
    return next;
}

/* A client comes when all has settled, and gets the ID that it must. */
static void check_next_id(Model *model, ModelClient *client)
{
    unsigned one_in = faults.one_in;
    bool recycled;
    uint32_t expected;

    model_check_settled(model);
    expected = next_id(model, &recycled);
    if (!connect_client(model, client) || client->path != model->path)
        return;
    faults.one_in = 0;
    dispatch(model);
    faults.one_in = one_in;
    read_some(model, client, 2);
    CHECK(model, client->follower.id >= 0, "no ID at once");
    CHECK(model, client->follower.id == expected, "ID %" PRId64 " instead of %u",
          client->follower.id, expected);
    model->n_recycled += recycled;
}

void model_use_ids_up(Model *model)
{
    uint64_t before = model->n_recycled;

    faults.one_in = 0;
    for (unsigned i = 0; i < MODEL_CLIENTS; i++)
        if (model->clients[i].follower.sock >= 0)
            drop(&model->clients[i]);
    check_next_id(model, &model->clients[0]);
    for (unsigned i = 0; i < model->setting.n_ids; i++) {
        check_next_id(model, &model->clients[1]);
        model_check_settled(model); /* so the first has been told of it */
        drop(&model->clients[1]);
    }
    CHECK(model, model->n_recycled > before, "%u clients have not used all IDs up",
          model->setting.n_ids);
}

void model_step(Model *model)
{
    uint32_t what = choose(model, 1000);
    ModelClient *client = random_client(model);

    if (what < 400) {
        dispatch(model);
    } else if (what < 700) {
        if (client)
            read_some(model, client, 1 + choose(model, 20));
    } else if (what < 860) {
        (void)connect_client(model, random_place(model));
    } else if (what < 960) {
        /* the first of them stay longer, and so use IDs up */
        if (client && (client >= &model->clients[2] || choose(model, 50) == 0))
            drop(client);
    } else if (what < 970) {
        if (client)
            be_rude(model, client);
    } else if (what < 980) {
        faults.one_in = choose(model, 2) ? 0 : 2 + choose(model, 30);
    } else if (what < 982) {
        model_check_settled(model);
    } else if (what < 985) {
        check_next_id(model, random_place(model));
    } else {
        clock_pass((int64_t)(what - 984) * 1000000);
    }
    model->step++;
}

/* The last two clients use listeners of their own. */
static void add_listeners(Model *model)
{
    ModelClient *reserved = &model->clients[model->setting.n_clients - 1], *observer = reserved - 1;
    IvshmemServerListenerConfig config;
    int first, second;

    ivshmem_server_listener_config_init(&config);
    config.unix_sock_path = reserved->path = model->reserved_path;
    config.reserved_id = MODEL_RESERVED_ID;
    first = ivshmem_server_listener_add(&model->server, &config);
    config.unix_sock_path = observer->path = model->observer_path;
    config.reserved_id = -1;
    config.observers = observer->observer = true;
    second = ivshmem_server_listener_add(&model->server, &config);
    CHECK(model, first == 1 && second == 2, "%s", ivshmem_server_error(&model->server));
}

void model_start(Model *model, const ModelDriver *driver, const ModelSetting *setting,
                 const char *path)
{
    IvshmemServerConfig config;

    clock_begin();
    *model = (Model){.driver = *driver, .setting = *setting};
    (void)snprintf(model->path, sizeof(model->path), "%s", path);
    (void)snprintf(model->reserved_path, sizeof(model->reserved_path), "%s-reserved", path);
    (void)snprintf(model->observer_path, sizeof(model->observer_path), "%s-observer", path);
    for (unsigned i = 0; i < MODEL_CLIENTS; i++) {
        model->clients[i].follower.sock = -1;
        model->clients[i].path = model->path;
    }
    ivshmem_server_config_init(&config);
    config.unix_sock_path = model->path;
    config.memory = IVSHMEM_SERVER_MEMORY_MEMFD;
    config.shm_size = 4096;
    config.n_vectors = setting->n_vectors;
    config.n_ids = setting->n_ids;
    CHECK(model,
          ivshmem_server_init_config(&model->server, &config) == 0 &&
              ivshmem_server_start(&model->server) == 0,
          "%s", ivshmem_server_error(&model->server));
    add_listeners(model);
    model->server.core_->flight.budget->asked = true;
    model->server.core_->flight.budget->limited = setting->allowance > 0;
    if (setting->allowance)
        model->server.core_->flight.budget->allowance = setting->allowance;
}

static void remove_lock(const char *path)
{
    char lock[96];

    (void)snprintf(lock, sizeof(lock), "%s.lock", path);
    (void)unlink(lock);
}

void model_stop(Model *model)
{
    for (unsigned i = 0; i < MODEL_CLIENTS; i++)
        if (model->clients[i].follower.sock >= 0)
            drop(&model->clients[i]);
    ivshmem_server_close(&model->server);
    remove_lock(model->path);
    remove_lock(model->reserved_path);
    remove_lock(model->observer_path);
}
