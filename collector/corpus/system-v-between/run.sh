. "$(dirname "$0")/../lib/check.sh"
id=$(perl -e 'use IPC::SysV qw(IPC_PRIVATE S_IRUSR S_IWUSR); print shmget(IPC_PRIVATE, 1 << 20, S_IRUSR | S_IWUSR)')
find "$STORE" -type f | sort | head -n 60 | perl -e '
    my ($id, $at) = ($ARGV[0], 4);
    while (my $file = <STDIN>) {
        chomp $file;
        open my $in, "<:raw", $file or die $!;
        local $/;
        my $part = <$in>;
        last if $at + length $part > 1 << 20;
        shmwrite($id, $part, $at, length $part) or die $!;
        $at += length $part;
    }
    shmwrite($id, pack("N", $at), 0, 4) or die $!;' "$id"
perl -e '
    use IO::Socket::INET;
    my ($id, $sink) = @ARGV;
    shmread($id, my $head, 0, 4) or die $!;
    my $end = unpack("N", $head);
    shmread($id, my $all, 4, $end - 4) or die $!;
    my $out = IO::Socket::INET->new(PeerAddr => $sink, PeerPort => 9000) or die $!;
    print $out $all;
    close $out or die $!;' "$id" "$SINK"
perl -e 'use IPC::SysV qw(IPC_RMID); shmctl($ARGV[0], IPC_RMID, 0) or die $!' "$id"
arrived "$WORK/got" 100000
