<?php
// One request of bench/run-programs: strings are made, joined to a megabyte, encoded, matched and
// dropped. What is printed depends on nothing but the seed in the query.
mt_srand((int) $_GET['seed']);
$strings = [];
for ($i = 0; $i < 3000; $i++) {
    $strings[] = substr(str_repeat(md5((string) mt_rand()), 22), 0, mt_rand(0, 700));
}
$joined = implode("\n", $strings);
$encoded = json_encode(array_map(null, $strings, array_keys($strings)));
$decoded = json_decode($encoded, true);
$text = base64_encode(gzcompress(htmlspecialchars($joined), 1));
preg_match_all('/([a-f]+)(\d+)/', $joined, $found);
$counts = array_count_values($found[1]);
ksort($counts);
printf("%d %d %s %s\n", strlen($joined), count($decoded), md5($encoded . $text),
    md5(serialize($counts)));
