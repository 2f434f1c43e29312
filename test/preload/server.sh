# shellcheck shell=bash
# Sourced by a workload of test/preload that starts servers: starting them, waiting until they
# answer, and ending them. Whatever ends the workload, what it started is killed; a server that goes
# on in spite of it keeps watch from ending, and is killed with it.

set -euo pipefail
declare -A servers # by process
kill_servers() {
    local one
    for one in "${!servers[@]}"; do kill -KILL "$one" 2>/dev/null || :; done
}
trap kill_servers EXIT

# start LOG COMMAND…: in the background, both outputs in LOG. Its process is $server.
start() {
    local log=$1
    shift
    "$@" >"$log" 2>&1 &
    server=$!
    server_log=$log
    servers[$server]=running
}

# wait_until WHAT COMMAND…: until COMMAND succeeds; fails after 30 s or when $server is gone.
wait_until() {
    local what=$1 deadline=$((SECONDS + 30))
    shift
    until "$@" >/dev/null 2>&1; do
        if ! kill -0 "$server" 2>/dev/null || [ $SECONDS -gt $deadline ]; then
            echo "not $what:" >&2
            tail -n 20 "$server_log" >&2
            exit 1
        fi
        sleep 0.05
    done
}

# stop [SIGNAL [STATUS]]: $server is asked to end, and has to, with this status.
stop() {
    local signal=${1:-TERM} wanted=${2:-0} status=0
    kill -s "$signal" "$server"
    wait "$server" || status=$?
    unset "servers[$server]"
    if [ "$status" != "$wanted" ]; then
        echo "the server ended with status $status:" >&2
        tail -n 20 "$server_log" >&2
        exit 1
    fi
    echo "ended cleanly"
}

# A port of 127.0.0.1 that nobody has now.
free_port() {
    python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

# start_on_port LOG COMMAND…: PORT in it becomes a port that nobody has: $port. Returns when the
# server takes connections there. If another program was quicker, it is tried with another port.
start_on_port() {
    local log=$1 attempt
    shift
    for attempt in 1 2 3 4 5; do
        port=$(free_port)
        start "$log" "${@//PORT/$port}"
        until (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
            kill -0 "$server" 2>/dev/null || break
            sleep 0.05
        done
        if kill -0 "$server" 2>/dev/null; then return; fi
        grep -qiE 'in use|could not bind' "$log" || break
    done
    echo "not listening (attempt $attempt):" >&2
    tail -n 20 "$log" >&2
    exit 1
}
