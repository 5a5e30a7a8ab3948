perl -e '
my $s=$ENV{STORE}."/odd"; mkdir $s or die; chdir $s;
for my $i (1..40) {
  my $n = $i % 4 == 0 ? "\xff\xfe\x80" . $i : $i % 4 == 1 ? "\e[31m\n\t" . $i : $i % 4 == 2 ? ("x" x 250) . sprintf("%05d",$i) : "a b\"\\\x27$i";
  if ($i > 10) { mkdir "d" x 200; chdir "d" x 200 or die; }
  open my $f, ">", $n or die "$n $!"; print $f pack("C*", map { int rand 256 } 1..20000); close $f;
}'
