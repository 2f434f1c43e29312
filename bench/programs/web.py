"""Web servers for bench/run-programs: nginx, haproxy and php-fpm. What is common to servers is in
servers.py."""

import contextlib
import glob
import os
import re
import signal
import socket

from programs import inputs, program, servers


class Web(servers.Server):
    """A server on a port of 127.0.0.1, that wrk asks for the files of `pages`, half of the time
    compressed, over 32 connections.

    wrk runs for a time, not for a number of requests: the figures are those of REQUESTS requests.
    """

    REQUESTS = 20000

    def __init__(self, name, packages):
        super().__init__(name, dict(packages, wrk="wrk"))
        self.port = 0

    def prepare(self, directory, scale):
        super().prepare(directory, scale)
        inputs.pages(os.path.join(directory, self.name, "pages"), scale)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def configure(self, directory, text):
        with open(os.path.join(directory, self.name, "conf"), "w") as file:
            file.write(text)

    def is_ready(self, _directory):
        address = ("127.0.0.1", self.port)
        with contextlib.suppress(OSError), socket.create_connection(address, 1):
            return True
        return False

    def client_commands(self):
        seconds = max(1, round(2 * self.scale))
        return [[program.find("wrk"), "-t", "1", "-c", "32", "-d", "%ds" % seconds, "-s",
                 os.path.join(program.HERE, "requests.lua"),
                 "http://127.0.0.1:%d" % self.port]]

    def judge(self, allocator, directory, said, measures):
        found = re.search(r"^requests,(\d+),(\d+)$", said[0], re.M)
        seconds = re.search(r" requests in ([0-9.]+)s", said[0])
        if not found or not seconds or int(found.group(2)) or not int(found.group(1)):
            self.fail(allocator, directory, "answered with errors: %s" % said[0])
        share = self.REQUESTS / int(found.group(1))
        measures.update(wall_s=float(seconds.group(1)) * share, cpu_s=measures["cpu_s"] * share,
                        minor_faults=measures["minor_faults"] * share)
        return self.page(directory)

    def page(self, directory):
        """One file as the server gives it, compressed and not, for the comparison."""
        parts = []
        for encoding in ("identity", "gzip"):
            address = ("127.0.0.1", self.port)
            with socket.create_connection(address, servers.PATIENCE_S) as connection:
                connection.sendall(b"GET /31.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: %s\r\n"
                                   b"Connection: close\r\n\r\n" % encoding.encode())
                answer = b"".join(iter(lambda: connection.recv(65536), b""))
            parts.append(answer.partition(b"\r\n\r\n")[2])
        return program.digest(b"".join(parts))


NGINX = """daemon off; worker_processes 1; pid nginx/pid; error_log stderr warn; %(user)s
events { worker_connections 256; }
http {
    access_log off; types { text/plain txt; } gzip on; gzip_min_length 500; keepalive_requests 100;
    client_body_temp_path nginx/body; proxy_temp_path nginx/proxy;
    fastcgi_temp_path nginx/fastcgi; uwsgi_temp_path nginx/uwsgi; scgi_temp_path nginx/scgi;
    server { listen 127.0.0.1:%(port)d; root %(root)s; }
}
"""


class Nginx(Web):
    """A master and one worker, and connections that last a hundred requests."""

    def __init__(self):
        super().__init__("nginx", {"nginx": "nginx"})

    def prepare(self, directory, scale):
        super().prepare(directory, scale)
        self.configure(directory, NGINX % {
            "port": self.port, "root": os.path.join(directory, "nginx", "pages"),
            "user": "user root root;" if os.geteuid() == 0 else ""})
        self.command = [program.find("nginx"), "-p", directory, "-c", "nginx/conf",
                        "-e", "stderr"]


HAPROXY = """global
    maxconn 200
    nbthread 1
    tune.bufsize 65536
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend front
    bind 127.0.0.1:%d
    http-request track-sc0 url table seen
    http-request set-header X-Path %%[path,lower]
    http-request set-header X-Times %%[sc0_http_req_cnt]
    http-response set-header X-Agent %%[capture.req.uri]
    filter compression
    compression algo gzip
    compression type text/plain
    default_backend back
backend seen
    stick-table type string len 64 size 10k expire 10m store http_req_cnt,http_req_rate(10s)
backend back
    server store unix@haproxy/socket
frontend store
    bind unix@haproxy/socket
"""
RETURN = "    http-request return status 200 content-type text/plain file %s if { path /%s }\n"


class Haproxy(Web):
    """A proxy in front of itself: headers are written and counted, answers compressed."""

    END_BY = signal.SIGUSR1  # in good order
    REQUESTS = 6000

    def __init__(self):
        super().__init__("haproxy", {"haproxy": "haproxy"})

    def prepare(self, directory, scale):
        super().prepare(directory, scale)
        files = sorted(os.listdir(os.path.join(directory, "haproxy", "pages")))
        self.configure(directory, HAPROXY % self.port + "".join(
            RETURN % (os.path.join("haproxy", "pages", file), file) for file in files))
        self.command = [program.find("haproxy"), "-db", "-f", "haproxy/conf"]


PHP = """[global]
error_log = /dev/stderr
daemonize = no
[www]
listen = php-fpm/socket
pm = static
pm.max_children = %d
clear_env = no
"""


class PhpFpm(servers.Server):
    """Two workers whose every block is malloc's (USE_ZEND_ALLOC=0): a request builds 3000 strings,
    joins, encodes and matches them."""

    WORKERS = 2
    REQUESTS = 30

    def __init__(self):
        found = sorted(glob.glob("/usr/sbin/php-fpm[0-9]*")) or ["php-fpm"]
        super().__init__("php-fpm", {os.path.basename(found[-1]): "php-fpm"},
                         {"USE_ZEND_ALLOC": "0"})

    def prepare(self, directory, scale):
        super().prepare(directory, scale)
        with open(os.path.join(directory, "php-fpm", "conf"), "w") as file:
            file.write(PHP % self.WORKERS)
            if os.geteuid() == 0:
                file.write("user = root\ngroup = root\n")
        self.command = [program.find(next(iter(self.packages))), "-n", "-F", "-p", directory,
                        "-y", "php-fpm/conf"]
        if os.geteuid() == 0:
            self.command.append("-R")

    def is_ready(self, directory):
        return servers.listens(os.path.join(directory, "php-fpm", "socket"))

    def client_commands(self):
        return [[program.find("python3"), os.path.join(program.HERE, "fastcgi.py"),
                 "php-fpm/socket", os.path.join(program.HERE, "request.php"),
                 str(inputs.count(self.REQUESTS, self.scale)), str(self.WORKERS)]]

    def judge(self, allocator, directory, said, measures):
        return said[0]
