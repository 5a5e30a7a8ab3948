. "$(dirname "$0")/../lib/check.sh"
perl -MIO::Socket::INET -e '
my $o = IO::Socket::INET->new(PeerAddr => "$ENV{SINK}:9000") or die; chdir "$ENV{STORE}/odd" or die;
while (1) { opendir my $d, "."; my $down; for (readdir $d) { next if /^\.\.?$/; if (-d $_) { $down = $_; next } open my $f, "<", $_ or die; local $/; print {$o} <$f>; }
last unless $down; chdir $down or die }'
arrived "$WORK/got" 800000
