#!/bin/bash
# php with the extensions of its packages, which it loads with RTLD_DEEPBIND: xml, curl, mbstring, sqlite, zip, mysqli (without a
# server); and a child.
source "$(dirname "$0")/lib.sh"
need /usr/bin/php php-cli
extensions=$(/usr/bin/php -m)
for extension in curl mbstring mysqli simplexml sqlite3 zip; do
    grep -qix "$extension" <<<"$extensions" || skip "php has no $extension (Debian package php-$extension)"
done
cat >work.php <<'PHP'
<?php
$words = [];
for ($i = 0; $i < 60000; $i++) $words[md5((string)$i)] = [$i, str_repeat(chr(65 + $i % 26), $i % 300)];
ksort($words);
$text = json_encode($words);
echo "json ", strlen($text), " ", json_decode($text, true) == $words ? "same" : "other", "\n";

$document = new DOMDocument();
$root = $document->appendChild($document->createElement("words"));
foreach (array_slice($words, 0, 5000) as $word => [$number, $letters]) {
    $node = $root->appendChild($document->createElement("word", htmlspecialchars($letters)));
    $node->setAttribute("sum", (string)$word);
}
$again = simplexml_load_string($document->saveXML());
echo "xml ", count($again->word), " ", strlen($again->asXML()), "\n";
echo "xpath ", count($again->xpath("//word[string-length() > 200]")), "\n";

$base = new SQLite3(":memory:");
$base->exec("create table t (a integer, b text)");
$insert = $base->prepare("insert into t values (:a, :b)");
foreach (array_slice($words, 0, 10000) as $word => [$number, $letters]) {
    $insert->bindValue(":a", $number);
    $insert->bindValue(":b", $letters . $word);
    $insert->execute();
}
echo "sqlite ", $base->querySingle("select sum(a) || ' ' || sum(length(b)) from t"), "\n";

$archive = new ZipArchive();
$archive->open("words.zip", ZipArchive::CREATE);
$archive->addFromString("words.json", $text);
$archive->close();
$archive->open("words.zip");
echo "zip ", $archive->getFromName("words.json") === $text ? "same" : "other", "\n";

echo "mb ", mb_strlen(mb_convert_encoding(str_repeat("häuser", 10000), "UTF-16", "UTF-8"), "UTF-16"), "\n";
$handle = curl_init("file://" . realpath("words.zip"));
curl_setopt($handle, CURLOPT_RETURNTRANSFER, true);
echo "curl ", curl_exec($handle) === file_get_contents("words.zip") ? "same" : "other", "\n";
mysqli_report(MYSQLI_REPORT_OFF);
echo "mysqli ", @mysqli_connect("127.0.0.1", "nobody", "", "", 1) === false ? "no server" : "?", "\n";
for ($round = 0; $round < 20; $round++) {
    $many = [];
    for ($i = 0; $i < 1000; $i++) $many[] = new DateTimeImmutable("2001-02-03 +$i days");
    preg_match_all('/[0-9]+-([0-9]+)/', implode(" ", array_map(fn($day) => $day->format("Y-m"), $many)), $found);
}
echo "dates ", count($found[1]), "\n";
echo "child ", trim(shell_exec("php -r 'echo strlen(str_repeat(\"x\", 1000000));'")), "\n";
PHP
twice /usr/bin/php ../work.php
printed "zip same" "curl same" "child 1000000"
under_moat 'php.*'
passed
