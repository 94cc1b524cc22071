/* SPDX-License-Identifier: MIT */
/*
 * The client's decoder on any messages, held against the rules of the protocol written down once
 * more, as plainly as can be. An input is a row of messages: a byte that says how long the value is
 * and whether a descriptor comes with it, then the value, sign-extended.
 */
#include "client/decoder.h"
#include "fuzz.h"

static struct {
    unsigned n_messages;
    int64_t own_id;
    unsigned n_vectors[WIRE_N_IDS];
} oracle;

static int64_t take_value(Input *input, unsigned n_bytes)
{
    uint64_t value = input_number(input, n_bytes);
    unsigned shift = 64 - 8 * n_bytes;

    return n_bytes == 0 ? -1 : (int64_t)(value << shift) >> shift;
}

static bool is_id(int64_t value)
{
    return value >= 0 && value <= 65535;
}

/* Whether the message may come now. */
static bool is_allowed(int64_t value, bool has_fd)
{
    switch (oracle.n_messages) {
    case 0:
        return value == 0 && !has_fd;
    case 1:
        return is_id(value) && !has_fd;
    case 2:
        return value == -1 && has_fd;
    default:
        if (!is_id(value))
            return false;
        return has_fd ? oracle.n_vectors[value] < 2048
                      : value != oracle.own_id && oracle.n_vectors[value] > 0;
    }
}

static void check_event(const DecoderEvent *event, int64_t value, bool has_fd)
{
    static const DecoderEventKind hello[] = {DECODER_EVENT_VERSION, DECODER_EVENT_OWN_ID,
                                             DECODER_EVENT_MEMORY};

    if (oracle.n_messages < 3) {
        RULE(event->kind == hello[oracle.n_messages]);
        if (oracle.n_messages == 1)
            oracle.own_id = value;
        RULE(event->kind != DECODER_EVENT_OWN_ID || event->id == value);
        return;
    }
    RULE(event->kind == (has_fd ? DECODER_EVENT_VECTOR : DECODER_EVENT_LEFT));
    RULE(event->id == value);
    RULE(!has_fd || event->vector == oracle.n_vectors[value]);
    oracle.n_vectors[value] = has_fd ? oracle.n_vectors[value] + 1 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static Decoder decoder;
    Input input = {bytes, n};

    memset(&decoder, 0, sizeof(decoder));
    memset(&oracle, 0, sizeof(oracle));
    while (input.n > 0) {
        uint64_t head = input_number(&input, 1);
        unsigned repeat = head >> 5 == 7 ? 1000 : 1; /* or no input would reach 2048 vectors */
        bool has_fd = head & 16;
        int64_t value = take_value(&input, head & 15 & 8 ? 8 : head & 7);

        while (repeat-- > 0) {
            DecoderEvent event = {.kind = (DecoderEventKind)-1};
            IvshmemClientFault fault = decoder_feed(&decoder, value, has_fd, &event);

            RULE((fault == IVSHMEM_CLIENT_FAULT_NONE) == is_allowed(value, has_fd));
            if (fault != IVSHMEM_CLIENT_FAULT_NONE) {
                RULE(*decoder_fault_text(fault) && event.kind == (DecoderEventKind)-1);
                return 0;
            }
            check_event(&event, value, has_fd);
            oracle.n_messages++;
        }
    }
    return 0;
}
