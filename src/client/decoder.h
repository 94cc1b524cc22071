/* SPDX-License-Identifier: MIT */
/*
 * What a server's messages mean: fed with one at a time, the decoder gives the event that it is or
 * the fault that it has. Pure: it does no I/O, allocates nothing and never sees a descriptor, only
 * whether there was one. It takes nothing on trust, so that its user can.
 *
 * After a fault the decoder is of no further use.
 */
#pragma once

#include "ivshmem-client.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum DecoderStage {
    DECODER_VERSION, /* what the next message must be */
    DECODER_OWN_ID,
    DECODER_MEMORY,
    DECODER_PEERS,
} DecoderStage;

typedef enum DecoderEventKind {
    DECODER_EVENT_VERSION,
    DECODER_EVENT_OWN_ID,
    DECODER_EVENT_MEMORY, /* its descriptor is the memory's */
    DECODER_EVENT_VECTOR, /* its descriptor is the eventfd of that vector of that ID */
    DECODER_EVENT_LEFT,   /* that ID, which had vectors */
} DecoderEventKind;

typedef struct DecoderEvent {
    DecoderEventKind kind;
    uint32_t id;     /* OWN_ID, VECTOR, LEFT */
    uint32_t vector; /* VECTOR: counts up from 0 for each ID */
} DecoderEvent;

/** One of zeros has seen nothing. */
typedef struct Decoder {
    DecoderStage stage;
    uint32_t own_id;
    uint16_t n_vectors[WIRE_N_IDS]; /* of each ID that is present; 0 if it is not */
} Decoder;

/** @param event  untouched if there is a fault */
IvshmemClientFault decoder_feed(Decoder *decoder, int64_t value, bool has_fd, DecoderEvent *event);

/** What a fault is, as the end of a sentence that begins with the server's name. */
const char *decoder_fault_text(IvshmemClientFault fault);
