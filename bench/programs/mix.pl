# A mix of what Perl programs do with memory: hashes of lists, regular expressions over lines,
# strings cut and joined.
#
# perl mix.pl N: N rounds; prints a checksum that depends on nothing but N. One of the programs of
# bench/run-programs.
use strict;
use warnings;

my $state = 12345;

sub draw {    # the same numbers everywhere, whatever this perl's rand is
    my ($limit) = @_;
    $state = ($state * 1103515245 + 12345) % 2147483648;
    return int($state / 65536) % $limit;
}

sub checksum {
    my ($text) = @_;
    return unpack('%32C*', $text) * 31 + length $text;
}

sub make_words {
    return map { join '', map { chr(97 + draw(26)) } 0 .. 1 + draw(9) } 1 .. 3000;
}

# Log lines, taken apart by a regular expression, counted in nested hashes.
sub read_log {
    my ($words) = @_;
    my %seen;
    for my $number (1 .. 2500) {
        my $line = sprintf '%02d:%02d:%02d %s[%d]: user=%s path=/%s/%s.html status=%d',
            draw(24), draw(60), draw(60), $words->[draw(40)], draw(3000), $words->[draw(300)],
            $words->[draw(3000)], $words->[draw(3000)], 200 + draw(4) * 100;
        if ($line =~ m{^(\d+):\d+:\d+\ (\w+)\[\d+\]:\ user=(\w+)
                       \ path=/(\w+)/(\w+)\.html\ status=(\d+)$}x) {
            my ($hour, $service, $user, $folder, $page, $status) = ($1, $2, $3, $4, $5, $6);
            push @{ $seen{$service}{$user} }, "$folder/$page";
            $seen{$status}{$hour}++;
        }
    }
    my $text = '';
    for my $outer (sort keys %seen) {
        for my $inner (sort keys %{ $seen{$outer} }) {
            my $value = $seen{$outer}{$inner};
            $text .= "$outer $inner " . (ref $value ? join(',', sort @$value) : $value) . "\n";
        }
    }
    return $text;
}

# Text with substitutions, split into words and put together in another order.
sub rewrite {
    my ($text) = @_;
    $text =~ s/(\w)(\w*)/\U$1\E$2/g;
    $text =~ s/[\/,]+/ /g;
    my %count;
    $count{$_}++ for split /\s+/, $text;
    my @order = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
    return join ' ', map { scalar(reverse $_) . ":$count{$_}" } @order;
}

# Records that stay from round to round, some replaced.
sub keep_records {
    my ($words, $kept) = @_;
    for (1 .. 3000) {
        my $key = $words->[draw(3000)] . draw(5);
        if ($kept->{$key} && draw(3) == 0) {
            delete $kept->{$key};
        } else {
            my @list = map { draw(1000) } 0 .. draw(8);
            $kept->{$key} =
                { name => $words->[draw(3000)], list => \@list, text => 'x' x draw(200) };
        }
    }
    my $sum = 0;
    $sum += length($_->{text}) + @{ $_->{list} } for values %$kept;
    return $sum;
}

my @words = make_words();
my %kept;
my $total = 0;
for (1 .. $ARGV[0]) {
    my $text = read_log(\@words);
    my $sum = checksum($text) + checksum(rewrite($text)) + keep_records(\@words, \%kept);
    $total = ($total * 7 + $sum) % 4294967291;
}
print "$total\n";
