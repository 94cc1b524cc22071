/* SPDX-License-Identifier: MIT */
/* The metrics: one table, from which the text is made, and against which the manual and the
 * dashboard are tested. */
#pragma once

#include "tools/exporter/ask.h"

typedef enum MetricType {
    METRIC_COUNTER,
    METRIC_GAUGE,
    METRIC_HISTOGRAM,
} MetricType;

/** What the member of an answer is. */
typedef enum MetricForm {
    FORM_COUNT,   /* an integer */
    FORM_MICRO,   /* an integer, of which a million is one */
    FORM_TIME,    /* a point in time, in QMP's form */
    FORM_VERSION, /* a text that ends in a version: the value is 1, and the version a label */
    FORM_REASONS, /* an object with an integer for each reason, which is a label */
    FORM_LATENCY, /* the histogram of query-stats */
} MetricForm;

typedef struct Metric {
    const char *name;
    MetricType type;
    Question question;
    const char *member; /* of the answer, or of each object in it if it is a list */
    MetricForm form;
    const char *help;
} Metric;

/** A label, and the member that its value is. */
typedef struct MetricLabel {
    const char *name;
    const char *member;
} MetricLabel;

#define METRIC_MAX_LABELS 2

extern const Metric metric_table[];
extern const unsigned n_metrics;

/** What each object in a question's answer is told apart by. Names that are NULL are none. */
extern const MetricLabel metric_labels[N_QUESTIONS][METRIC_MAX_LABELS];

/**
 * The metrics of some answers as Prometheus reads them. What an answer lacks is left out.
 *
 * @return the text, the caller's, or NULL: out of memory
 */
char *metrics_render(json_t *const answers[N_QUESTIONS], size_t *size);

/** Shows the table on standard output: name, type, labels and meaning, with tabulators between. */
void metrics_list(void);
