/*
 * sink: where a report goes as a line of JSON (see sink.h).
 */
#include "report/sink.h"

#include "base/format.h"
#include "os/os.h"

/* Facility "user", severity "critical", as the protocol of syslog counts. */
#define PRIORITY "<10>"

static int parse_descriptor(const char *digits) {
    int fd = 0;
    for (; *digits >= '0' && *digits <= '9'; digits++) fd = fd * 10 + (*digits - '0');
    return fd;
}

/* "<10>moat[4120]: " before the line, which goes without its newline. */
static void send_to_log(char *text, size_t length) {
    char head_buffer[SINK_HEAD];
    struct format head = format_in(head_buffer, sizeof head_buffer);
    format_string(&head, PRIORITY "moat[");
    format_decimal(&head, os_process_id());
    format_string(&head, "]: ");
    char *start = text + SINK_HEAD - head.length;
    for (size_t i = 0; i < head.length; i++) start[i] = head_buffer[i];
    (void)os_send(SINK_LOG_SOCKET, start, head.length + length - 1);
}

void sink_deliver(struct report_target target, char *text, size_t length) {
    switch (target.sink) {
    case SINK_STDERR: break;
    case SINK_FILE: (void)os_append(target.where, text + SINK_HEAD, length); break;
    case SINK_FD: (void)os_write(parse_descriptor(target.where), text + SINK_HEAD, length); break;
    case SINK_SYSLOG: send_to_log(text, length); break;
    }
}
