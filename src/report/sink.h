/*
 * sink: where a report goes as a line of JSON, beside the text on descriptor 2.
 *
 * The dying process writes it itself. Async-signal-safe, allocates nothing; what cannot be written
 * within a tenth of a second or so is given up.
 */
#ifndef MOAT_SINK_H
#define MOAT_SINK_H

#include "base/base.h"

enum report_sink { SINK_STDERR /* nowhere else */, SINK_FILE, SINK_FD, SINK_SYSLOG };

struct report_target {
    enum report_sink sink;
    const char *where; /* a path from the root, or a descriptor in decimal */
};

/* The socket of the system's log, and the most that its readers take as one message. */
#define SINK_LOG_SOCKET "/dev/log"
#define SINK_LOG_MAX 8000u

/* A hook (see src/README.md): what a user has set. */
struct report_target report_target(void);

/* Delivers a line that ends in a newline. `text` begins SINK_HEAD bytes before it, for what the
   system's log wants to stand there. */
#define SINK_HEAD 48u
void sink_deliver(struct report_target target, char *text, size_t length);

#endif
