/* SPDX-License-Identifier: MIT */
/*
 * crash-steps KEEPER SOCKET VECTORS SCENE calls|stores FIRST EVERY
 *
 * Kills the worker of a server (KEEPER is its process ID) while it deals with a SCENE (scenes.h),
 * again and again, each time one step later, until there is no later one; looks each time whether
 * the next worker has gone on so that no client could tell. The steps are
 *
 *   calls   the beginning and the end of each system call
 *   stores  each instruction that changes the server's state. What lies between two of them
 *           changes nothing that outlives the process: so this is each instruction.
 *
 * Of the steps, the one number FIRST is the first to be killed at, and then every EVERYth. The last
 * line on standard output says how many there are, and how many of them it was killed at.
 */
#include "crowd.h"
#include "scenes.h"
#include "trace.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS   10000
#define SETTLED_MS    270 /* a worker that lives so long begins a new series (keeper.c) */
#define MOST_IN_A_ROW 5
#define SNAPSHOT_SIZE 65536

typedef struct Steps {
    pid_t keeper;
    const Scene *scene;
    Crowd crowd;
    State state;
    bool stores;
    unsigned in_a_row;
    unsigned n_fds; /* that the server has while the scene is prepared */
    uint8_t snapshot[SNAPSHOT_SIZE];
} Steps;

static unsigned count_fds(pid_t pid)
{
    char path[64];
    unsigned n = 0;
    DIR *folder;

    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    folder = opendir(path);
    if (!folder)
        crowd_fail("the keeper has gone");
    while (readdir(folder))
        n++;
    (void)closedir(folder);
    return n;
}

/* What was open for a worker that has gone is closed by the next, some time. */
static void check_fds(const Steps *steps)
{
    unsigned n = 0;

    for (unsigned i = 0; i < PATIENCE_MS; i++) {
        n = count_fds(steps->keeper);
        if (n == steps->n_fds)
            return;
        (void)poll(NULL, 0, 1);
    }
    crowd_fail("%u descriptors instead of %u", n, steps->n_fds);
}

/* Whether it waits to be the next worker. */
static bool stands_by(pid_t pid)
{
    char path[64], name[16] = "";
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    file = fopen(path, "re");
    if (!file)
        return false;
    (void)!fread(name, 1, sizeof(name) - 1, file);
    (void)fclose(file);
    return strcmp(name, "ivshmem-standby") == 0;
}

static pid_t find_worker(pid_t keeper)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)keeper, (int)keeper);
    for (unsigned i = 0; i < PATIENCE_MS; i++) {
        FILE *file = fopen(path, "re");
        int pid = 0, child;

        while (file && fscanf(file, "%d", &child) == 1) /* the latest: others have ended */
            pid = stands_by(child) ? pid : child;
        if (file)
            (void)fclose(file);
        if (pid)
            return pid;
        (void)poll(NULL, 0, 1);
    }
    crowd_fail("no worker");
}

static void open_state(Steps *steps)
{
    char path[384], target[64];
    const struct dirent *entry;
    ErrorText error;
    DIR *folder;
    int fd = -1;

    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)steps->keeper);
    folder = opendir(path);
    while (folder && fd < 0 && (entry = readdir(folder))) {
        ssize_t n;

        (void)snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int)steps->keeper, entry->d_name);
        n = readlink(path, target, sizeof(target) - 1);
        target[n < 0 ? 0 : n] = 0;
        if (strncmp(target, "/memfd:ivshmem-state", 20) == 0)
            fd = open(path, O_RDWR | O_CLOEXEC);
    }
    if (folder)
        (void)closedir(folder);
    if (fd < 0 || state_open(&steps->state, fd, &error) < 0)
        crowd_fail("no state");
    (void)close(fd);
}

/* Whether any part of the state that says something to a next worker has changed since the last
 * look. */
static bool has_changed(Steps *steps)
{
    const State *state = &steps->state;
    size_t n = state->header->max_clients, at = 0;
    const struct Part {
        const void *start;
        size_t size;
    } parts[] = {
        {state->header, sizeof(*state->header)},
        {state->clients, n * sizeof(*state->clients)},
        {state->listeners, sizeof(*state->listeners)},
        {state->batch, sizeof(*state->batch)},
        {state->eventfds, n * state->header->max_vectors * sizeof(*state->eventfds)},
        {state->present, 16 * sizeof(*state->present)},
        {state->views, VIEW_TILE_WORDS * sizeof(*state->views)},
    };
    bool changed = false;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); at += parts[i++].size) {
        if (at + parts[i].size > SNAPSHOT_SIZE)
            crowd_fail("the state is too large for this test: use few clients");
        if (memcmp(steps->snapshot + at, parts[i].start, parts[i].size) != 0) {
            memcpy(steps->snapshot + at, parts[i].start, parts[i].size);
            changed = true;
        }
    }
    return changed;
}

/* Lets the process go on to a step. False if it has no more to do. */
static bool go_to(Steps *steps, pid_t pid, unsigned step, unsigned *passed)
{
    (void)has_changed(steps);
    for (*passed = 0; *passed < step;) {
        if (!trace_step(pid, steps->stores ? TRACE_INSTRUCTION : TRACE_CALL))
            return false;
        *passed += !steps->stores || has_changed(steps);
    }
    return true;
}

/* Has the scene played, to the worker or to the one after it, which is stopped now. */
static pid_t play(Steps *steps)
{
    pid_t worker = find_worker(steps->keeper);

    trace_begin(worker);
    steps->scene->act(&steps->crowd);
    if (!steps->scene->next)
        return worker;
    trace_parent(steps->keeper);
    trace_kill(worker);
    steps->in_a_row++;
    return trace_child(steps->keeper);
}

/* Kills it at the step. False if there is none, which leaves it alive. */
static bool kill_at(Steps *steps, unsigned step, unsigned *passed)
{
    bool found;
    pid_t pid;

    if (steps->in_a_row >= MOST_IN_A_ROW) {
        (void)find_worker(steps->keeper);
        (void)poll(NULL, 0, SETTLED_MS);
        steps->in_a_row = 0;
    }
    steps->scene->prepare(&steps->crowd, &steps->state);
    if (steps->n_fds == 0)
        steps->n_fds = count_fds(steps->keeper);
    check_fds(steps);
    pid = play(steps);
    found = go_to(steps, pid, step, passed);
    if (found)
        trace_kill(pid);
    else
        trace_end(pid);
    steps->in_a_row += found;
    crowd_settle(&steps->crowd);
    return found;
}

int main(int argc, char **argv)
{
    static Steps steps;
    unsigned n_killed = 0, passed = 0;

    if (argc != 8 || !(steps.scene = scene_find(argv[4])))
        crowd_fail("usage: crash-steps KEEPER SOCKET VECTORS SCENE calls|stores FIRST EVERY");
    steps.keeper = atoi(argv[1]);
    steps.stores = strcmp(argv[5], "stores") == 0;
    open_state(&steps);
    crowd_init(&steps.crowd, argv[2], SCENE_CLIENTS, (unsigned)atoi(argv[3]), 1);
    for (unsigned step = (unsigned)atoi(argv[6]); kill_at(&steps, step, &passed);
         step += (unsigned)atoi(argv[7])) {
        n_killed++;
        (void)printf("killed at %u\n", step);
        (void)fflush(stdout);
    }
    (void)printf("{\"steps\": %u, \"killed\": %u}\n", passed, n_killed);
    crowd_free(&steps.crowd);
    state_free(&steps.state);
    return EXIT_SUCCESS;
}
