/* SPDX-License-Identifier: MIT */
#include "server/identity.h"

#include "server/core.h"
#include "server/view.h"
#include "server/world.h"
#include "util/cleanup.h"
#include "util/sys.h"

#include <errno.h>
#include <sys/eventfd.h>

static void close_eventfds(const State *state, uint32_t slot, uint32_t n)
{
    int32_t *fds = state_eventfds(state, slot);

    while (n-- > 0)
        fds[n] = fd_close(fds[n]);
}

/* seccomp: eventfd2
 *
 * QEMU sets O_NONBLOCK on the eventfds that it gets; the flag is shared, so they are born with it.
 */
int identity_make(ServerCore *core, uint32_t slot, uint32_t n_vectors)
{
    const State *state = &core->state;
    int32_t *fds = state_eventfds(state, slot);

    for (uint32_t i = 0; i < n_vectors; i++) {
        fds[i] = sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fds[i] < 0) {
            int r = -errno;

            close_eventfds(state, slot, i);
            return r;
        }
    }
    state->clients[slot].n_vectors = n_vectors;
    return 0;
}

void identity_unmake(ServerCore *core, uint32_t slot)
{
    close_eventfds(&core->state, slot, core->state.clients[slot].n_vectors);
}

/* An ID that comes back although somebody knows it: he must get the departure of the one who had
 * it, and never hears of the new one. */
static void recycle_id(ServerCore *core, uint32_t id)
{
    uint32_t slot;

    BITMAP_FOREACH(slot, core->state.slots, core->state.header->max_clients)
        view_outdate(&core->state, slot, id);
    if (core->ids_told_at && deadline_now() - core->ids_told_at < TELL_AGAIN)
        return;
    core->ids_told_at = deadline_now();
    core_log(core->server, LOG_WARNING,
             "no unused ID is left: peer %u gets one that %u connected clients will not be told of",
             id, ids_count(&core->ids, id));
}

/* Says once that IDs are running out, and again only when there were enough in between. */
static void warn_of_few_ids(ServerCore *core)
{
    uint32_t n = core->ids.n_taken;
    uint32_t warn_at = core->ids.n - core->ids.n / 5;

    if (n >= warn_at && !core->ids_warned)
        core_log(core->server, LOG_WARNING,
                 "%u of %u IDs are used up by clients that have stayed while others came and went; "
                 "restarting the oldest clients frees them",
                 n, core->ids.n);
    core->ids_warned = n >= warn_at || (core->ids_warned && n >= warn_at / 2);
}

int32_t identity_choose_id(ServerCore *core)
{
    int32_t id = view_lowest_unknown(&core->state, &core->ids);

    warn_of_few_ids(core);
    if (id != STATE_NO_ID)
        return id;
    view_settle_all(&core->state, &core->ids);
    id = ids_least_known(&core->ids, &core->state);
    if (id != STATE_NO_ID)
        recycle_id(core, (uint32_t)id);
    return id;
}

/* That an ID is present makes it known, whoever has heard of it. */
void identity_join(ServerCore *core, uint32_t slot, uint32_t id)
{
    view_settle(&core->state, &core->ids, id);
    core->state.clients[slot].id = (int32_t)id;
    world_join(&core->state, slot, id);
    ids_learn(&core->ids, id);
    outbox_wake_all(&core->outbox, &core->state);
}

void identity_leave(ServerCore *core, uint32_t slot)
{
    uint32_t id = (uint32_t)core->state.clients[slot].id;

    view_settle(&core->state, &core->ids, id);
    world_leave(&core->state, id);
    ids_forget(&core->ids, id);
    outbox_wake_all(&core->outbox, &core->state);
}
