/* SPDX-License-Identifier: MIT */
/* The text that Prometheus reads: its exposition format, version 0.0.4. */
#include "tools/exporter/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MICRO 1000000U
#define NANO  1000000000U

static const char *const types[] = {
    [METRIC_COUNTER] = "counter",
    [METRIC_GAUGE] = "gauge",
    [METRIC_HISTOGRAM] = "histogram",
};

/* The metric that is being written. */
typedef struct Sheet {
    FILE *out;
    const Metric *metric;
    bool has_head;
    const json_t *row; /* the object that the labels are of */
} Sheet;

static void put_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            (void)fputs("\\n", out);
        else if (*text == '"' || *text == '\\')
            (void)fprintf(out, "\\%c", *text);
        else
            (void)fputc(*text, out);
    }
}

static void put_label(FILE *out, const char *name, const char *value, bool *is_first)
{
    (void)fprintf(out, "%s%s=\"", *is_first ? "{" : ",", name);
    put_text(out, value);
    (void)fputc('"', out);
    *is_first = false;
}

/* A sample up to its value. The last label is optional. */
static void begin(Sheet *sheet, const char *suffix, const char *label, const char *value)
{
    const Metric *metric = sheet->metric;
    bool is_first = true;

    if (!sheet->has_head)
        (void)fprintf(sheet->out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help,
                      metric->name, types[metric->type]);
    sheet->has_head = true;
    (void)fprintf(sheet->out, "%s%s", metric->name, suffix);
    for (unsigned i = 0; i < METRIC_MAX_LABELS && metric_labels[metric->question][i].name; i++) {
        const MetricLabel *own = &metric_labels[metric->question][i];
        const char *text = json_string_value(json_object_get(sheet->row, own->member));

        put_label(sheet->out, own->name, text ? text : "", &is_first);
    }
    if (label)
        put_label(sheet->out, label, value, &is_first);
    (void)fputs(is_first ? " " : "} ", sheet->out);
}

/* An integer of which `per`, a power of ten, is one. */
static void put_number(const Sheet *sheet, json_int_t number, unsigned per)
{
    uint64_t size = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    char digits[16];
    int n_places = snprintf(digits, sizeof(digits), "%u", per) - 1;

    (void)fprintf(sheet->out, "%s%" PRIu64, number < 0 ? "-" : "", size / per);
    if (n_places)
        (void)fprintf(sheet->out, ".%0*" PRIu64, n_places, size % per);
    (void)fputc('\n', sheet->out);
}

static void put_integer(Sheet *sheet, const json_t *value, unsigned per)
{
    if (!json_is_integer(value))
        return;
    begin(sheet, "", NULL, NULL);
    put_number(sheet, json_integer_value(value), per);
}

static void put_time(Sheet *sheet, const json_t *value)
{
    const json_t *seconds = json_object_get(value, "seconds");
    const json_t *micro = json_object_get(value, "microseconds");

    if (!json_is_integer(seconds) || !json_is_integer(micro))
        return;
    begin(sheet, "", NULL, NULL);
    (void)fprintf(sheet->out, "%" JSON_INTEGER_FORMAT ".%06" JSON_INTEGER_FORMAT "\n",
                  json_integer_value(seconds), json_integer_value(micro));
}

static void put_version(Sheet *sheet, const json_t *value)
{
    const char *text = json_string_value(value);
    const char *space = text ? strrchr(text, ' ') : NULL;

    if (!text)
        return;
    begin(sheet, "", "version", space ? space + 1 : text);
    put_number(sheet, 1, 1);
}

static void put_reasons(Sheet *sheet, const json_t *value)
{
    const char *reason;
    json_t *count;

    json_object_foreach((json_t *)(uintptr_t)value, reason, count)
    {
        if (!json_is_integer(count))
            continue;
        begin(sheet, "", "reason", reason);
        put_number(sheet, json_integer_value(count), 1);
    }
}

/* The server counts each bucket alone; here each counts those before it too. */
static void put_latency(Sheet *sheet, const json_t *value)
{
    const json_t *sum = json_object_get(value, "sum-ns");
    uint64_t count = 0;
    size_t i;
    json_t *bucket;

    if (!json_is_integer(sum))
        return;
    json_array_foreach(json_object_get(value, "buckets"), i, bucket)
    {
        const json_t *bound = json_object_get(bucket, "up-to-us");
        char le[32] = "+Inf";

        if (bound)
            (void)snprintf(le, sizeof(le), "%g", (double)json_integer_value(bound) / MICRO);
        count += (uint64_t)json_integer_value(json_object_get(bucket, "count"));
        begin(sheet, "_bucket", "le", le);
        put_number(sheet, (json_int_t)count, 1);
    }
    begin(sheet, "_sum", NULL, NULL);
    put_number(sheet, json_integer_value(sum), NANO);
    begin(sheet, "_count", NULL, NULL);
    put_number(sheet, (json_int_t)count, 1);
}

static void put_value(Sheet *sheet)
{
    const json_t *value = json_object_get(sheet->row, sheet->metric->member);

    switch (sheet->metric->form) {
    case FORM_COUNT:
        put_integer(sheet, value, 1);
        break;
    case FORM_MICRO:
        put_integer(sheet, value, MICRO);
        break;
    case FORM_TIME:
        put_time(sheet, value);
        break;
    case FORM_VERSION:
        put_version(sheet, value);
        break;
    case FORM_REASONS:
        put_reasons(sheet, value);
        break;
    case FORM_LATENCY:
        put_latency(sheet, value);
        break;
    }
}

static void put_metric(FILE *out, const Metric *metric, const json_t *answer)
{
    Sheet sheet = {.out = out, .metric = metric, .row = answer};
    size_t i;
    json_t *row;

    if (!json_is_array(answer)) {
        put_value(&sheet);
        return;
    }
    json_array_foreach(answer, i, row)
    {
        sheet.row = row;
        put_value(&sheet);
    }
}

char *metrics_render(json_t *const answers[N_QUESTIONS], size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);
    bool is_whole;

    if (!out)
        return NULL;
    for (unsigned i = 0; i < n_metrics; i++)
        put_metric(out, &metric_table[i], answers[metric_table[i].question]);
    is_whole = !ferror(out);
    if (fclose(out) == 0 && is_whole)
        return text;
    free(text);
    return NULL;
}

void metrics_list(void)
{
    for (unsigned i = 0; i < n_metrics; i++) {
        const Metric *metric = &metric_table[i];
        const MetricLabel *labels = metric_labels[metric->question];
        const char *more = metric->form == FORM_VERSION   ? "version"
                           : metric->form == FORM_REASONS ? "reason"
                                                          : NULL;
        bool is_first = true;

        (void)printf("%s\t%s\t", metric->name, types[metric->type]);
        for (unsigned k = 0; k < METRIC_MAX_LABELS && labels[k].name; k++, is_first = false)
            (void)printf("%s%s", is_first ? "" : ",", labels[k].name);
        if (more)
            (void)printf("%s%s", is_first ? "" : ",", more);
        (void)printf("\t%s\n", metric->help);
    }
}
