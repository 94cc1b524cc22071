/* SPDX-License-Identifier: MIT */
#include "tools/exporter/metrics.h"

const MetricLabel metric_labels[N_QUESTIONS][METRIC_MAX_LABELS] = {
    [QUESTION_REGIONS] = {{"region", "name"}},
    [QUESTION_STATS] = {{"region", "region"}},
    [QUESTION_LISTENERS] = {{"region", "region"}, {"listener", "name"}},
};

#define C METRIC_COUNTER
#define G METRIC_GAUGE
#define H METRIC_HISTOGRAM

/* clang-format off */
const Metric metric_table[] = {
    {"ivshmem_up", G, QUESTION_SELF, "up", FORM_COUNT,
     "Whether the server has answered at its control socket; if it has not, there is nothing else of it."},
    {"ivshmem_scrape_duration_seconds", G, QUESTION_SELF, "duration-us", FORM_MICRO,
     "How long the server took to answer, or to fail to."},
    {"ivshmem_exporter_failures_total", C, QUESTION_SELF, "failures", FORM_COUNT,
     "How often the server has not answered."},
    {"ivshmem_exporter_build_info", G, QUESTION_SELF, "version", FORM_VERSION,
     "The version of the exporter."},

    {"ivshmem_build_info", G, QUESTION_VERSION, "package", FORM_VERSION,
     "The version of the server."},
    {"ivshmem_process_start_time_seconds", G, QUESTION_STATUS, "since", FORM_TIME,
     "When the server was started, since 1970."},
    {"ivshmem_process_cpu_seconds_total", C, QUESTION_STATUS, "cpu-us", FORM_MICRO,
     "Processor time of the server's worker; a new worker begins at 0."},
    {"ivshmem_process_resident_memory_bytes", G, QUESTION_STATUS, "resident", FORM_COUNT,
     "Resident memory of the server's worker."},
    {"ivshmem_process_open_fds", G, QUESTION_STATUS, "fds-used", FORM_COUNT,
     "Descriptors that the server has open."},
    {"ivshmem_process_max_fds", G, QUESTION_STATUS, "fds-allowed", FORM_COUNT,
     "Descriptors that the server may have open."},
    {"ivshmem_workers_killed_total", C, QUESTION_STATUS, "workers-killed", FORM_COUNT,
     "Workers of the server that were killed and replaced."},
    {"ivshmem_control_connections", G, QUESTION_STATUS, "control-connections", FORM_COUNT,
     "Connections to the control socket, this exporter's included."},
    {"ivshmem_regions", G, QUESTION_STATUS, "regions", FORM_COUNT,
     "Regions of the server."},

    {"ivshmem_region_memory_bytes", G, QUESTION_REGIONS, "size", FORM_COUNT,
     "Size of the shared memory."},
    {"ivshmem_region_vectors", G, QUESTION_REGIONS, "vectors", FORM_COUNT,
     "The most vectors that a client of the region can have."},
    {"ivshmem_region_clients", G, QUESTION_STATS, "clients", FORM_COUNT,
     "Connected clients, observers included."},
    {"ivshmem_region_observers", G, QUESTION_STATS, "observers", FORM_COUNT,
     "Connected observers."},
    {"ivshmem_region_clients_allowed", G, QUESTION_STATS, "max-clients", FORM_COUNT,
     "How many clients there may be at once."},
    {"ivshmem_region_joins_total", C, QUESTION_STATS, "joins", FORM_COUNT,
     "Clients that have come."},
    {"ivshmem_region_departures_total", C, QUESTION_STATS, "departures", FORM_COUNT,
     "Clients that have gone."},
    {"ivshmem_region_refusals_total", C, QUESTION_STATS, "refusals", FORM_REASONS,
     "Clients that were turned away."},
    {"ivshmem_region_sent_messages_total", C, QUESTION_STATS, "messages", FORM_COUNT,
     "Messages sent to clients."},
    {"ivshmem_region_sent_bytes_total", C, QUESTION_STATS, "bytes", FORM_COUNT,
     "Bytes sent to clients."},
    {"ivshmem_region_send_retries_total", C, QUESTION_STATS, "retries", FORM_COUNT,
     "Sends put off, because a socket was full or the kernel lacked something."},
    {"ivshmem_region_pending_changes", G, QUESTION_STATS, "pending", FORM_COUNT,
     "Arrivals and departures that clients have still to hear of, all clients together."},
    {"ivshmem_region_connect_duration_seconds", H, QUESTION_STATS, "latency", FORM_LATENCY,
     "From accepting a client to the message that carries the memory."},
    {"ivshmem_region_fds", G, QUESTION_STATS, "fds-used", FORM_COUNT,
     "Descriptors of the clients: one and one for each vector."},
    {"ivshmem_region_fds_allowed", G, QUESTION_STATS, "fds-allowed", FORM_COUNT,
     "Descriptors that the clients may have."},
    {"ivshmem_region_ids_used", G, QUESTION_STATS, "ids-used", FORM_COUNT,
     "IDs in use, or known to a connected client as having been."},
    {"ivshmem_region_ids_left", G, QUESTION_STATS, "ids-left", FORM_COUNT,
     "IDs that a newcomer could get and that no connected client has heard of."},

    {"ivshmem_listener_clients", G, QUESTION_LISTENERS, "clients", FORM_COUNT,
     "Connected clients that came through the listener."},
    {"ivshmem_listener_clients_allowed", G, QUESTION_LISTENERS, "max-clients", FORM_COUNT,
     "How many there may be at once, if the listener has a limit of its own."},
    {"ivshmem_listener_joins_total", C, QUESTION_LISTENERS, "joins", FORM_COUNT,
     "Clients that have come through the listener."},
    {"ivshmem_listener_refusals_total", C, QUESTION_LISTENERS, "refusals", FORM_COUNT,
     "Clients that were turned away at the listener."},
};
/* clang-format on */

const unsigned n_metrics = sizeof(metric_table) / sizeof(metric_table[0]);
