#!/bin/bash
# php-fpm behind nginx, with php's usual extensions, which php loads with RTLD_DEEPBIND: workers
# that are renewed under load, pages that use each extension, uploads, sessions, compression; then
# a reload of both. The same page by php's command line.
source "$(dirname "$0")/lib.sh"
need nginx nginx
need php php-cli
need python3 python3
extensions=$(php -m)
for extension in curl dom gd intl mbstring pdo_sqlite simplexml zip; do
    grep -qix "$extension" <<<"$extensions" || skip "php has no $extension (Debian: php-$extension)"
done
fpm=$(printf '%s\n' /usr/sbin/php-fpm* | sort -V | tail -n 1)
need "$fpm" php-fpm
export FPM=$fpm
limit=60
may_end_by="15" # php ends its workers so, unless they were quicker
cat >page.php <<'PHP'
<?php
// What php's core and its extensions take from malloc: documents, images, a database, ICU.
$n = (int)($_GET['n'] ?? $argv[1] ?? 1);
$out = ["n $n"];
$list = [];
for ($i = 0; $i < 300; $i++) $list["k$i"] = [$i, str_repeat("v$n", $i % 50), ['x' => $i / 7]];
$json = json_encode($list);
$out[] = 'json ' . md5($json) . (json_decode($json, true) == $list ? ' same' : ' different');
$out[] = 'preg ' . strlen(preg_replace_callback('/v(\d+)/', fn($m) => "<$m[1]>", $json));
$out[] = 'mb ' . mb_strtoupper(str_repeat("gr\u{fc}n ", $n % 20 + 1))
    . mb_strlen(mb_convert_encoding($json, 'UTF-16'));
$dom = new DOMDocument();
$root = $dom->appendChild($dom->createElement('list'));
foreach ($list as $key => [$number]) {
    $root->appendChild($dom->createElement('item', $key))->setAttribute('n', $number);
}
$xml = simplexml_load_string($dom->saveXML());
$out[] = 'xml ' . count($xml->xpath('//item[@n mod 3 = 0]')) . ' ' . md5($dom->saveXML());
$db = new PDO('sqlite::memory:');
$db->exec('create table t (id integer primary key, name text)');
$insert = $db->prepare('insert into t values (?, ?)');
for ($i = 0; $i < 200; $i++) $insert->execute([$i, "name $i " . str_repeat('z', $i)]);
$row = $db->query('select count(*), sum(length(name)) from t')->fetch(PDO::FETCH_NUM);
$out[] = 'sqlite ' . implode(' ', $row);
$image = imagecreatetruecolor(200 + $n % 50, 200);
imagefilledellipse($image, 100, 100, 150, 80, imagecolorallocate($image, 200, $n % 256, 10));
ob_start();
imagepng(imagescale($image, 120, 90));
$png = ob_get_clean();
$back = imagecreatefromstring($png);
$out[] = 'gd ' . imagesx($back) . 'x' . imagesy($back) . ' ' . imagecolorat($back, 60, 45);
$format = new NumberFormatter('de_DE', NumberFormatter::DECIMAL);
$words = ["z\u{e4}hler", 'zahl', "\u{e4}pfel", 'birne'];
(new Collator('de_DE'))->sort($words);
$out[] = 'intl ' . $format->format(1234567.5 + $n) . ' ' . implode(',', $words);
$out[] = 'normalized ' . Normalizer::normalize("u\u{308}");
$file = tempnam(sys_get_temp_dir(), 'zip');
$zip = new ZipArchive();
$zip->open($file, ZipArchive::OVERWRITE);
for ($i = 0; $i < 20; $i++) $zip->addFromString("file$i", str_repeat("$i", 500));
$zip->close();
$zip->open($file);
$out[] = 'zip ' . $zip->numFiles . ' ' . strlen($zip->getFromName('file19'));
$zip->close();
unlink($file);
$key = str_repeat('k', 32);
$out[] = 'openssl ' . md5(openssl_encrypt($json, 'aes-256-cbc', $key, 0, str_repeat('i', 16)));
$out[] = 'gzip ' . strlen(gzuncompress(gzcompress($json)));
$answer = curl_exec(curl_init('http://127.0.0.1:1/'));
$out[] = 'curl ' . curl_escape(curl_init(), "a b$n") . ($answer ? ' answered' : ' refused');
if (PHP_SAPI !== 'cli') {
    session_save_path(sys_get_temp_dir());
    session_start();
    $_SESSION['times'] = ($_SESSION['times'] ?? 0) + 1;
    $upload = $_FILES['file']['tmp_name'] ?? null;
    $out[] = 'upload ' . ($upload ? md5_file($upload) : 'none');
    $opcache = function_exists('opcache_get_status') ? 'there' : 'missing';
    $out[] = "session {$_SESSION['times']} opcache $opcache";
}
echo implode("\n", $out), "\n";
PHP
cat >client.py <<'PY'
import collections, hashlib, http.client, re, socket, sys, threading

class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect("nginx.sock")

pages = {}
wrong = collections.Counter()
uploads = 0

def work(name):
    global uploads
    connection = Connection("there")
    cookie = {}
    for i in range(int(sys.argv[1])):
        body, headers = None, dict(cookie)
        if i % 10 == 3:
            data = bytes([65 + name]) * (i * 30000)
            disposition = b'Content-Disposition: form-data; name="file"; filename="f"'
            body = b"--edge\r\n" + disposition + b"\r\n\r\n" + data + b"\r\n--edge--\r\n"
            headers["Content-Type"] = "multipart/form-data; boundary=edge"
        connection.request("POST" if body else "GET", f"/page.php?n={i % 8}", body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        if "Set-Cookie" in dict(answer.getheaders()):
            cookie = {"Cookie": answer.getheader("Set-Cookie").split(";")[0]}
        if answer.status != 200:
            wrong[answer.status] += 1
            continue
        if body and hashlib.md5(data).hexdigest() not in text:
            wrong["upload"] += 1
        uploads += bool(body)
        if f"session {i + 1} opcache there" not in text:
            wrong["session"] += 1
        page = re.sub(r"(session|upload) .*", "", text)
        if pages.setdefault(i % 8, page) != page:
            wrong["page"] += 1

threads = [threading.Thread(target=work, args=(i,)) for i in range(5)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("wrong:", dict(wrong), "uploads:", uploads)
for n in sorted(pages)[:int(sys.argv[2])]:
    print(pages[n])
connection = Connection("there")
connection.request("GET", "/static", headers={"Accept-Encoding": "gzip"})
print("static", hashlib.md5(connection.getresponse().read()).hexdigest())
PY
cat >workload.sh <<'SH'
source ../server.sh
here=$PWD
mkdir www tmp logs
cp ../page.php www
seq 100000 >www/static
root=()
if [ "$(id -u)" = 0 ]; then
    root=(-R)
    nginx_user="user root;"
fi
cat >fpm.conf <<CONFIG
[global]
error_log = $here/fpm.log
daemonize = no
[www]
listen = $here/fpm.sock
pm = dynamic
pm.max_children = 4
pm.start_servers = 2
pm.min_spare_servers = 1
pm.max_spare_servers = 3
pm.max_requests = 40
catch_workers_output = yes
env[TMPDIR] = $here/tmp
php_admin_value[upload_max_filesize] = 64M
php_admin_value[post_max_size] = 64M
CONFIG
if [ "$(id -u)" = 0 ]; then printf 'user = root\ngroup = root\n' >>fpm.conf; fi
cat >nginx.conf <<CONFIG
${nginx_user:-}
worker_processes 2;
daemon off;
pid $here/nginx.pid;
error_log $here/nginx.log;
events { worker_connections 64; }
http {
    access_log off;
    client_max_body_size 64m;
    client_body_temp_path tmp/a;
    proxy_temp_path tmp/b;
    fastcgi_temp_path tmp/c;
    uwsgi_temp_path tmp/d;
    scgi_temp_path tmp/e;
    gzip on;
    gzip_types *;
    server {
        listen unix:$here/nginx.sock;
        root $here/www;
        location ~ \.php\$ {
            fastcgi_pass unix:$here/fpm.sock;
            fastcgi_param SCRIPT_FILENAME \$document_root\$fastcgi_script_name;
            fastcgi_param QUERY_STRING \$query_string;
            fastcgi_param REQUEST_METHOD \$request_method;
            fastcgi_param CONTENT_TYPE \$content_type;
            fastcgi_param CONTENT_LENGTH \$content_length;
        }
    }
}
CONFIG
php ../page.php 5
start fpm.out "$FPM" -F -y "$here/fpm.conf" "${root[@]}"
php_server=$server
wait_until "listening" test -S fpm.sock
start nginx.out nginx -p "$here" -c "$here/nginx.conf" -e "$here/nginx.log"
nginx_server=$server
wait_until "listening" test -S nginx.sock
python3 ../client.py 40 2
# New workers, of both, for the second half.
kill -HUP "$nginx_server"
kill -USR2 "$php_server"
wait_until "reloaded" grep -q 'reloading' fpm.log
wait_until "ready again" test -S fpm.sock
python3 ../client.py 20 1
stop QUIT
server=$php_server server_log=fpm.out
stop QUIT
grep -hE 'SIG(SEGV|ABRT|BUS)|exited on signal|\[(alert|crit|emerg)\]' fpm.log nginx.log || :
SH
twice bash ../workload.sh
printed "wrong: {} uploads: 20" "wrong: {} uploads: 10" "curl a%20b5 refused" "zip 20 1000" \
    "ended cleanly"
under_moat nginx 'php-fpm.*' 'php[0-9.]*'
passed
