/* SPDX-License-Identifier: MIT */
/*
 * A server's state in a file that somebody has written to or cut short: it is refused, or every
 * part that its header promises is there. Of an input, the first bytes say how large the state was
 * and where the file ends; the rest is a row of changes to the header.
 */
#include "server/state.h"

#include "fuzz.h"
#include "util/cleanup.h"

#include <sys/mman.h>
#include <sys/stat.h>

/* Reads the first and the last byte of a part. */
static void touch(const State *state, const volatile void *part, size_t n, size_t each)
{
    const volatile uint8_t *bytes = part;

    RULE(bytes >= (const uint8_t *)state->base &&
         bytes + n * each <= (const uint8_t *)state->base + state->size);
    if (n > 0)
        (void)(bytes[0] + bytes[n * each - 1]);
}

static void touch_all(const State *state)
{
    const StateHeader *header = state->header;
    size_t clients = header->max_clients;

    touch(state, header, 1, sizeof(*header));
    touch(state, state->slots, BITMAP_WORDS(clients), sizeof(*state->slots));
    touch(state, state->connected, BITMAP_WORDS(clients), sizeof(*state->connected));
    touch(state, state->clients, clients, sizeof(*state->clients));
    touch(state, state->batch, 1, sizeof(*state->batch));
    touch(state, state->eventfds, clients * header->max_vectors, sizeof(*state->eventfds));
    touch(state, state->present, BITMAP_WORDS(WIRE_N_IDS), sizeof(*state->present));
    touch(state, state->holders, WIRE_N_IDS, sizeof(*state->holders));
    touch(state, state->changes, STATE_N_CHANGES, sizeof(*state->changes));
    RULE(header->slot_limit <= clients && header->id_limit <= WIRE_N_IDS);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    Input input = {bytes, n};
    _cleanup_close_ int fd = memfd_create("fuzz", MFD_CLOEXEC);
    uint32_t clients = 1 + input_choose(&input, 256), vectors = 1 + input_choose(&input, 64);
    uint32_t cut = input_choose(&input, 65536);
    ErrorText error;
    State made, opened;

    RULE(fd >= 0 && state_new(&made, fd, clients, vectors) == 0);
    if (cut > 0)
        RULE(ftruncate(fd, cut & 1 ? (off_t)cut : (off_t)made.size + cut - 32768) == 0);
    state_free(&made);
    while (input.n > 0) {
        off_t at = input_choose(&input, sizeof(StateHeader));
        uint64_t value = input_number(&input, 8);

        RULE(pwrite(fd, &value, 1 + (at & 7), at) > 0);
    }
    if (state_open(&opened, fd, &error) == 0) {
        touch_all(&opened);
        state_free(&opened);
    }
    return 0;
}
