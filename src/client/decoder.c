/* SPDX-License-Identifier: MIT */
#include "client/decoder.h"

#include <assert.h>

static const char *const texts[] = {
    [IVSHMEM_CLIENT_FAULT_NONE] = "",
    [IVSHMEM_CLIENT_FAULT_VERSION] = "the server does not speak protocol version 0",
    [IVSHMEM_CLIENT_FAULT_OWN_ID] = "the server gave us an ID that is not 0 to 65535",
    [IVSHMEM_CLIENT_FAULT_NOT_MEMORY] = "the server sent something else in place of the memory",
    [IVSHMEM_CLIENT_FAULT_MEMORY_WITHOUT_FD] = "the server sent no descriptor with the memory",
    [IVSHMEM_CLIENT_FAULT_MEMORY_AGAIN] = "the server sent the memory a second time",
    [IVSHMEM_CLIENT_FAULT_UNEXPECTED_FD] = "the server sent a descriptor where none belongs",
    [IVSHMEM_CLIENT_FAULT_ID_RANGE] = "the server named a peer ID that is not 0 to 65535",
    [IVSHMEM_CLIENT_FAULT_VECTORS] = "the server sent more than 2048 vectors of one peer",
    [IVSHMEM_CLIENT_FAULT_OWN_DEPARTURE] = "the server says that we have left",
    [IVSHMEM_CLIENT_FAULT_UNKNOWN_DEPARTURE] = "the server says that an unknown peer has left",
    [IVSHMEM_CLIENT_FAULT_MANY_FDS] = "the server sent more than one descriptor with a message",
    [IVSHMEM_CLIENT_FAULT_CUT_SHORT] = "the server's last message is cut short",
    [IVSHMEM_CLIENT_FAULT_CLOSED] = "the server has closed the connection",
    [IVSHMEM_CLIENT_FAULT_NO_FD_LEFT] = "no descriptor is left for what the server sent",
    [IVSHMEM_CLIENT_FAULT_SYSTEM] = "a system call failed",
};
_Static_assert(sizeof(texts) / sizeof(texts[0]) == IVSHMEM_CLIENT_N_FAULTS, "a text each");
_Static_assert(IVSHMEM_CLIENT_MAX_VECTORS == WIRE_MAX_VECTORS, "the same limit");

const char *decoder_fault_text(IvshmemClientFault fault)
{
    assert(fault < IVSHMEM_CLIENT_N_FAULTS);
    return texts[fault];
}

static bool is_id(int64_t value)
{
    return value >= 0 && value <= WIRE_MAX_ID;
}

static IvshmemClientFault feed_version(Decoder *decoder, int64_t value, bool has_fd,
                                       DecoderEvent *event)
{
    if (value != WIRE_PROTOCOL_VERSION)
        return IVSHMEM_CLIENT_FAULT_VERSION;
    if (has_fd)
        return IVSHMEM_CLIENT_FAULT_UNEXPECTED_FD;
    decoder->stage = DECODER_OWN_ID;
    *event = (DecoderEvent){.kind = DECODER_EVENT_VERSION};
    return IVSHMEM_CLIENT_FAULT_NONE;
}

static IvshmemClientFault feed_own_id(Decoder *decoder, int64_t value, bool has_fd,
                                      DecoderEvent *event)
{
    if (!is_id(value))
        return IVSHMEM_CLIENT_FAULT_OWN_ID;
    if (has_fd)
        return IVSHMEM_CLIENT_FAULT_UNEXPECTED_FD;
    decoder->own_id = (uint32_t)value;
    decoder->stage = DECODER_MEMORY;
    *event = (DecoderEvent){.kind = DECODER_EVENT_OWN_ID, .id = decoder->own_id};
    return IVSHMEM_CLIENT_FAULT_NONE;
}

static IvshmemClientFault feed_memory(Decoder *decoder, int64_t value, bool has_fd,
                                      DecoderEvent *event)
{
    if (value != WIRE_MEMORY)
        return IVSHMEM_CLIENT_FAULT_NOT_MEMORY;
    if (!has_fd)
        return IVSHMEM_CLIENT_FAULT_MEMORY_WITHOUT_FD;
    decoder->stage = DECODER_PEERS;
    *event = (DecoderEvent){.kind = DECODER_EVENT_MEMORY};
    return IVSHMEM_CLIENT_FAULT_NONE;
}

static IvshmemClientFault feed_vector(Decoder *decoder, uint32_t id, DecoderEvent *event)
{
    uint16_t *n = &decoder->n_vectors[id];

    if (*n == WIRE_MAX_VECTORS)
        return IVSHMEM_CLIENT_FAULT_VECTORS;
    *event = (DecoderEvent){.kind = DECODER_EVENT_VECTOR, .id = id, .vector = (*n)++};
    return IVSHMEM_CLIENT_FAULT_NONE;
}

static IvshmemClientFault feed_departure(Decoder *decoder, uint32_t id, DecoderEvent *event)
{
    if (id == decoder->own_id)
        return IVSHMEM_CLIENT_FAULT_OWN_DEPARTURE;
    if (decoder->n_vectors[id] == 0)
        return IVSHMEM_CLIENT_FAULT_UNKNOWN_DEPARTURE;
    decoder->n_vectors[id] = 0;
    *event = (DecoderEvent){.kind = DECODER_EVENT_LEFT, .id = id};
    return IVSHMEM_CLIENT_FAULT_NONE;
}

static IvshmemClientFault feed_peer(Decoder *decoder, int64_t value, bool has_fd,
                                    DecoderEvent *event)
{
    if (value == WIRE_MEMORY)
        return IVSHMEM_CLIENT_FAULT_MEMORY_AGAIN;
    if (!is_id(value))
        return IVSHMEM_CLIENT_FAULT_ID_RANGE;
    return has_fd ? feed_vector(decoder, (uint32_t)value, event)
                  : feed_departure(decoder, (uint32_t)value, event);
}

IvshmemClientFault decoder_feed(Decoder *decoder, int64_t value, bool has_fd, DecoderEvent *event)
{
    switch (decoder->stage) {
    case DECODER_VERSION:
        return feed_version(decoder, value, has_fd, event);
    case DECODER_OWN_ID:
        return feed_own_id(decoder, value, has_fd, event);
    case DECODER_MEMORY:
        return feed_memory(decoder, value, has_fd, event);
    default:
        return feed_peer(decoder, value, has_fd, event);
    }
}
