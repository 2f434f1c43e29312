"""Stores and databases for bench/run-programs: redis, memcached, mariadb and postgres. What is
common to servers is in servers.py."""

import glob
import os
import re
import shutil
import subprocess
import tempfile

from lib import peers
from programs import inputs, program, servers


class Redis(servers.Server):
    """SET with values of two sizes over one set of keys, lists grown and read, hashes: pipelined,
    over a Unix socket.

    Debian's redis-server is linked with jemalloc. For the system's line the C library is preloaded
    itself: its malloc then comes before jemalloc's in the order of the symbols, like that of any
    other library that is preloaded.
    """

    def __init__(self):
        super().__init__("redis", {"redis-server": "redis-server",
                                   "redis-benchmark": "redis-tools", "redis-cli": "redis-tools"})

    def prepare(self, directory, scale):
        super().prepare(directory, scale)
        self.command = [program.find("redis-server"), "--port", "0",
                        "--unixsocket", "redis/socket", "--save", "", "--appendonly", "no",
                        "--daemonize", "no", "--loglevel", "warning"]

    def instead_of_own(self):
        return re.search(r"(/\S+/libc[.-]\S+)$", peers.read("/proc/self/maps"), re.M).group(1)

    def cli(self, directory, *arguments):
        command = [program.find("redis-cli"), "-s", "redis/socket"] + list(arguments)
        return subprocess.run(command, cwd=directory, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                              text=True).stdout

    def is_ready(self, directory):
        return (os.path.exists(os.path.join(directory, "redis", "socket"))
                and self.cli(directory, "ping") == "PONG\n")

    def client_commands(self):
        keys = str(inputs.count(200000, self.scale))
        parts = [("set", 250000, ["-d", "64", "-r", keys]),
                 ("set", 150000, ["-d", "300", "-r", keys]),
                 ("lpush", 250000, ["-d", "40"]), ("lrange_100", 8000, []),
                 ("hset", 250000, ["-d", "48", "-r", keys])]
        return [[program.find("redis-benchmark"), "-s", "redis/socket", "-q", "-P", "16",
                 "-c", "20", "-t", test, "-n", str(inputs.count(number, self.scale))] + more
                for test, number, more in parts]

    def judge(self, allocator, directory, said, measures):
        """Keys are drawn anew in each run; the commands, the lists and the hashes' sum are
        counted."""
        errors = self.cli(directory, "info", "errorstats").replace("# Errorstats", "").strip()
        if errors or any("rror" in text for text in said):
            self.fail(allocator, directory, "answered with errors: %s %s" % (errors, said))
        calls = re.findall(r"^cmdstat_(set|lpush|lrange|hset):calls=(\d+)",
                           self.cli(directory, "info", "commandstats"), re.M)
        return "%s %s" % (sorted(calls), self.cli(directory, "llen", "mylist").strip())


class Memcached(servers.Server):
    """Two threads; values of many sizes that fill and overflow 64 MiB."""

    BATCHES = 2000

    def __init__(self):
        super().__init__("memcached", {"memcached": "memcached"})

    def prepare(self, directory, scale):
        super().prepare(directory, scale)
        self.command = [program.find("memcached"), "-s", "memcached/socket", "-t", "2",
                        "-m", "64"]
        if os.geteuid() == 0:
            self.command += ["-u", "root"]

    def is_ready(self, directory):
        return servers.listens(os.path.join(directory, "memcached", "socket"))

    def client_commands(self):
        return [[program.find("python3"), os.path.join(program.HERE, "cache_client.py"),
                 "memcached/socket", str(inputs.count(self.BATCHES, self.scale))]]

    def judge(self, allocator, directory, said, measures):
        return said[0]


class Database(servers.Server):
    """A database's server on a Unix socket, with its own folder of data: the statements of
    inputs.statements(), then thrice those of inputs.questions(), each time over a new connection.
    """

    def prepare(self, directory, scale):
        super().prepare(directory, scale)
        inputs.statements(self.file(directory, "statements.sql"), scale)
        inputs.questions(self.file(directory, "questions.sql"), scale)
        self.make_data(directory)

    def file(self, directory, name):
        return os.path.join(directory, self.name, name)

    def run_tool(self, directory, command):
        """Runs what makes the data, on the system's allocator."""
        environment = peers.Allocator("system", None).environment()
        with open(self.file(directory, "made.log"), "w+") as log:
            made = subprocess.run(command, cwd=directory, env=environment, stdout=log,
                                  stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False)
            log.seek(0)
            if made.returncode != 0:
                peers.stop("%s: its data could not be made\n%s" % (self.name, log.read()[-2000:]))

    def make_data(self, directory):
        raise NotImplementedError

    def client(self, *arguments):
        """The command of a client with these arguments."""
        raise NotImplementedError

    def is_ready(self, directory):
        return subprocess.run(self.client(*self.ASK_NOTHING), cwd=directory, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0

    def client_commands(self):
        return [self.client(*self.reading(name))
                for name in ["statements.sql"] + 3 * ["questions.sql"]]

    def judge(self, allocator, directory, said, measures):
        """The tables are made anew by the next run's statements."""
        return program.digest("".join(said).encode())


class Mariadb(Database):
    """Nothing is flushed: what the disk does is not what is measured."""

    ASK_NOTHING = ("-e", "select 1")

    def __init__(self):
        super().__init__("mariadb", {"mariadbd": "mariadb-server-core",
                                     "mariadb-install-db": "mariadb-server-core",
                                     "mariadb": "mariadb-client-core"})

    def make_data(self, directory):
        data = self.file(directory, "data")
        options = ["--no-defaults", "--datadir=" + data, "--innodb-log-file-size=8M",
                   "--debug-no-sync"]
        if os.geteuid() == 0:
            options.append("--user=root")
        self.run_tool(directory, [program.find("mariadb-install-db")] + options + [
            "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"])
        self.command = [program.find("mariadbd")] + options + [
            "--socket=" + self.file(directory, "socket"), "--skip-networking",
            "--pid-file=" + self.file(directory, "pid"), "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=32M", "--log-warnings=1"]

    def client(self, *arguments):
        return [program.find("mariadb"), "--no-defaults", "--user=root",
                "--socket=mariadb/socket", "-N", "-B", *arguments]

    def reading(self, name):
        return "mysql", "-e", "source mariadb/" + name


class Postgres(Database):
    """It refuses to run as root: for root it runs as its own user, and its data lies in a folder of
    that user's."""

    ASK_NOTHING = ("-c", "select 1")
    USER = "postgres"

    def __init__(self):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        self.bin = found[-1] if found else "/usr/lib/postgresql/bin"
        super().__init__("postgres", {os.path.join(self.bin, name): "postgresql"
                                      for name in ("postgres", "initdb", "psql")})
        self.folder, self.as_user = None, []

    def make_data(self, directory):
        self.folder = tempfile.TemporaryDirectory(prefix="postgres-")
        if os.geteuid() == 0:
            self.as_user = [program.find("setpriv"), "--reuid=" + self.USER,
                            "--regid=" + self.USER, "--init-groups", "--"]
            shutil.chown(self.folder.name, self.USER)
        data = os.path.join(self.folder.name, "data")
        self.run_tool(directory, self.as_user + [
            os.path.join(self.bin, "initdb"), "-D", data, "-U", "tester", "-A", "trust",
            "-E", "UTF8", "--locale=C", "--no-sync"])
        self.command = self.as_user + [
            os.path.join(self.bin, "postgres"), "-D", data, "-k", self.folder.name,
            "-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=32MB",
            "-c", "jit=off", "-c", "autovacuum=off", "-c", "logging_collector=off",
            "-c", "client_min_messages=warning"]

    def client(self, *arguments):
        return [os.path.join(self.bin, "psql"), "-X", "-q", "-A", "-t", "-h", self.folder.name,
                "-U", "tester", "-d", "postgres", *arguments]

    def reading(self, name):
        return "-f", "postgres/" + name

    def complaints(self, log):
        """Who asks too early whether it is ready is refused."""
        return super().complaints(re.sub(r".*the database system is starting up", "", log))
