#!/bin/bash
# perl: hashes, strings, regular expressions, sorting, cycles, string growth, forks, and interpreter threads where perl has them.
source "$(dirname "$0")/lib.sh"
need perl perl
cat >work.pl <<'PL'
use strict;
use warnings;
use Config;
my ($state, %count) = (12345);
sub next_number { $state = ($state * 1103515245 + 12345) & 0x7fffffff; return $state >> 8 }
for (1 .. 200000) {
    my $word = join '', map { chr(97 + $_ % 26) } unpack 'C4', pack 'N', next_number();
    $count{substr $word, 0, 3}++;
}
my @best = (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count)[0 .. 9];
print "best @best of ", scalar(keys %count), "\n";
my $text = '';
$text .= sprintf "%08d %s\n", $_, 'x' x ($_ % 80) for 1 .. 30000;
my ($hits, $length) = (0, length $text);
$hits++ while $text =~ /^(\d*7)\s+(x{5,9})$/gm;
(my $changed = $text) =~ s/(\d)(\d)/$2$1/g;
print "regex $hits of $length, ", unpack('%32C*', $changed), "\n";
for (1 .. 20000) { my $a = {list => [1 .. 5]}; my $b = {other => $a}; delete $b->{other} }
my %tree;
$tree{$_ % 17}{$_ % 101}{$_} = [$_, "$_" x 3] for 1 .. 40000;
delete $tree{$_} for grep { $_ % 2 } keys %tree;
print 'tree ', join(',', map { scalar keys %{$tree{$_}} } sort { $a <=> $b } keys %tree), "\n";
for my $n (1 .. 6) {
    my $pid = fork // die "fork: $!";
    if (!$pid) { my @all = map { 'y' x $_ } 1 .. 2000; exit(@all % 200 + $n) }
    waitpid $pid, 0;
    print "child $n ", $? >> 8, "\n";
}
if ($Config{useithreads}) {
    require threads;
    my @threads = map { my $n = $_; threads->create(sub {
        my %h = map { $_ => 'z' x ($_ % 90) } 1 .. 5000;
        length join '', @h{sort keys %h};
    }) } 1 .. 6;
    print 'threads ', join(' ', map { $_->join } @threads), "\n";
}
print "done\n";
PL
export PERL_HASH_SEED=0
twice perl ../work.pl
printed "done" "child 6 6"
under_moat 'perl.*'
passed
