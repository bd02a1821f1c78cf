/* libmodsecurity 3 alone: whole transactions, phases 1 to 5, over raw requests and whole rule sets.
 *
 * The counterpart of engine.rs, with the same arguments and output:
 * libmodsecurity [--rules FILE]... [--iterations N | --seconds S] FILE...
 * Build: cc -O2 -o libmodsecurity benches/libmodsecurity.c -lmodsecurity */
#define _GNU_SOURCE
#include <modsecurity/modsecurity.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    unsigned char *bytes;
    size_t length;
} Raw;

static void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

/* The connector's log is not part of what is measured. */
static void drop_log(void *data, const void *line) {
    (void)data;
    (void)line;
}

static Raw read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) fail(path, "cannot be opened");
    Raw raw = {NULL, 0};
    size_t room = 0, n;
    do {
        if (raw.length == room) {
            room = room ? 2 * room : 1 << 16;
            raw.bytes = realloc(raw.bytes, room);
            if (!raw.bytes) fail(path, "no memory");
        }
        n = fread(raw.bytes + raw.length, 1, room - raw.length, file);
        raw.length += n;
    } while (n);
    fclose(file);
    return raw;
}

/* Seconds of this process on a CPU: what else the machine does counts less. */
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The status it wants in place of the answer; 0 where it lets the request go on. */
static int interruption(Transaction *transaction) {
    ModSecurityIntervention it = {.status = 200};
    int disruptive = msc_intervention(transaction, &it);
    free(it.url);
    free(it.log);
    return disruptive ? it.status : 0;
}

/* Tells the request line and the fields; returns where the body begins. */
static const unsigned char *tell_head(Transaction *transaction, const Raw *raw) {
    const unsigned char *at = raw->bytes, *end = raw->bytes + raw->length;
    const unsigned char *eol = memmem(at, (size_t)(end - at), "\r\n", 2);
    char line[4096] = {0}, method[16], target[4096], version[8];
    if (eol && (size_t)(eol - at) < sizeof line) memcpy(line, at, (size_t)(eol - at));
    if (sscanf(line, "%15s %4095s HTTP/%7[0-9.]", method, target, version) != 3)
        fail("the mix", "not valid HTTP");
    msc_process_uri(transaction, target, method, version);
    for (at = eol + 2; (eol = memmem(at, (size_t)(end - at), "\r\n", 2)) && eol > at; at = eol + 2) {
        const unsigned char *colon = memchr(at, ':', (size_t)(eol - at));
        if (!colon) fail("the mix", "not valid HTTP");
        const unsigned char *value = colon + 1;
        while (value < eol && *value == ' ') value++;
        msc_add_n_request_header(transaction, at, (size_t)(colon - at), value, (size_t)(eol - value));
    }
    if (!eol) fail("the mix", "not valid HTTP");
    return eol + 2;
}

/* Phases 1 to 4; the status the client gets. */
static int phases(Transaction *transaction, const Raw *raw) {
    int status;
    msc_process_connection(transaction, "192.0.2.1", 40000, "192.0.2.1", 40000);
    const unsigned char *body = tell_head(transaction, raw);
    msc_process_request_headers(transaction);
    if ((status = interruption(transaction))) return status;
    size_t length = raw->length - (size_t)(body - raw->bytes);
    if (length) msc_append_request_body(transaction, body, length);
    msc_process_request_body(transaction);
    if ((status = interruption(transaction))) return status;
    static const unsigned char page[] = "<p>Welcome.</p>";
    msc_add_response_header(transaction, (const unsigned char *)"content-type", (const unsigned char *)"text/html");
    msc_add_response_header(transaction, (const unsigned char *)"content-length", (const unsigned char *)"15");
    msc_process_response_headers(transaction, 200, "HTTP/1.1");
    if ((status = interruption(transaction))) return status;
    msc_append_response_body(transaction, page, sizeof page - 1);
    msc_process_response_body(transaction);
    if ((status = interruption(transaction))) return status;
    return 200;
}

/* One request through all phases, answered by a small page. */
static int run(ModSecurity *library, RulesSet *rules, const Raw *raw) {
    static char id[] = "0193f5a0-0000-7000-8000-000000000000";
    Transaction *transaction = msc_new_transaction_with_id(library, rules, id, NULL);
    int status = phases(transaction, raw);
    msc_process_logging(transaction);
    msc_transaction_cleanup(transaction);
    return status;
}

static void measure(ModSecurity *library, RulesSet *rules, const char *path, long iterations, double seconds) {
    Raw raw = read_file(path);
    int verdict = run(library, rules, &raw);
    if ((verdict == 403) != (strstr(path, "attack") != NULL)) {
        fprintf(stderr, "%s: verdict %d; a benchmark of rules that do not run is void\n", path, verdict);
        exit(1);
    }
    double started = now();
    long done = 0;
    while (seconds > 0 ? now() - started < seconds : done < iterations) {
        if (run(library, rules, &raw) != verdict) fail(path, "another verdict than before");
        done++;
    }
    double each = (now() - started) / (double)(done ? done : 1);
    const char *name = strrchr(path, '/');
    printf("%10.1f us  %s\n", 1e6 * each, name ? name + 1 : path);
    fflush(stdout);
    free(raw.bytes);
}

int main(int count, char **arguments) {
    ModSecurity *library = msc_init();
    msc_set_log_cb(library, drop_log);
    RulesSet *rules = msc_create_rules_set();
    long iterations = 1000;
    double seconds = 0, started = now();
    const char *error = NULL;
    int i;
    for (i = 1; i + 1 < count && strncmp(arguments[i], "--", 2) == 0; i += 2) {
        const char *value = arguments[i + 1];
        if (strcmp(arguments[i], "--rules") == 0) {
            int n = msc_rules_add_file(rules, value, &error);
            if (n < 0) fail(value, error ? error : "the rules do not load");
            fprintf(stderr, "%d rules in %.0fms, libmodsecurity " MODSECURITY_VERSION "\n", n, 1e3 * (now() - started));
        } else if (strcmp(arguments[i], "--iterations") == 0) {
            iterations = strtol(value, NULL, 10);
        } else if (strcmp(arguments[i], "--seconds") == 0) {
            seconds = strtod(value, NULL);
        } else {
            fail(arguments[i], "unknown");
        }
    }
    for (; i < count; i++) measure(library, rules, arguments[i], iterations, seconds);
    msc_rules_cleanup(rules);
    msc_cleanup(library);
    return 0;
}
