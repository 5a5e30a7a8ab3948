# What happens on a workstation besides theft, round after round: packages, a build, pages, mail, a backup of what is no record, and in
# between somebody looks at records with the viewer, makes pictures of them and edits one. Nothing of it is to raise an alert.

# work_for SECONDS: goes on for so long, at least one round; says in $WORK/rounds how many there were.
work_for() {
    make_project
    end=$(($(date +%s) + $1))
    rounds=0
    while [ "$rounds" -eq 0 ] || [ "$(date +%s)" -lt "$end" ]; do
        browse &
        browsing=$!
        look_at_records
        update_packages
        build
        send_mail
        keep_home
        wait "$browsing"
        rounds=$((rounds + 1))
        echo "$rounds" > "$WORK/rounds"
    done
}

make_project() {
    mkdir -p "$WORK/project" "$WORK/pictures"
    cd "$WORK/project"
    git init -q .
    git config user.email anna@ward.example
    git config user.name anna
    for n in $(seq 30); do
        printf 'int part_%s(int x) { for (int i = 0; i < 9; i++) x = x * 31 + %s; return x; }\n' "$n" "$n" > "part$n.c"
    done
    printf 'int main(void) { return 0; }\n' > main.c
    printf 'all: $(patsubst %%.c,%%.o,$(wildcard *.c))\n\tgcc -o all $^\nclean:\n\trm -f *.o all\n' > Makefile
    git add .
    git commit -q -m first
    cd "$WORK"
}

# A page with what belongs to it, and the small things that pages tell their makers.
browse() {
    for _ in $(seq 5); do
        curl -sS -f -Z --remote-name-all --output-dir "$WORK/pictures" "http://$SINK:8082/[1-12].bin"
        curl -sS -f -o /dev/null --data-binary @/etc/services "http://$SINK:8080/telemetry"
        sleep 0.5
    done
}

look_at_records() {
    find "$STORE" -name '*.dcm' | sort -R | head -n 5 | while read -r file; do
        dcmdump -q "$file" > /dev/null || true
        dcmj2pnm -q "$file" "$WORK/pictures/one.ppm" || true
    done
    letter=$(find "$STORE" -type f -size -8k | sort -R | head -n 1)
    sed -i 's/zzz/yyy/' "$letter"
}

# A package is made, unpacked into a root of its own, and taken away again.
update_packages() {
    root="$WORK/root"
    mkdir -p "$WORK/package/DEBIAN" "$WORK/package/usr/share/help" "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates"
    : > "$root/var/lib/dpkg/status"
    printf 'Package: ward-help\nVersion: 1.%s\nArchitecture: all\nMaintainer: ward <ward@ward.example>\nDescription: help\n' "$rounds" \
        > "$WORK/package/DEBIAN/control"
    cp -r /usr/share/common-licenses "$WORK/package/usr/share/help/"
    dpkg-deb -b "$WORK/package" "$WORK/ward-help.deb" > /dev/null
    dpkg --root="$root" --force-not-root --log=/dev/null -i "$WORK/ward-help.deb" > /dev/null
    dpkg --root="$root" --force-not-root --log=/dev/null -r ward-help > /dev/null
}

build() {
    cd "$WORK/project"
    printf '// %s\n' "$rounds" >> main.c
    make -s clean
    make -s -j2 all
    ./all
    git add main.c
    git commit -q -m "round $rounds"
    cd "$WORK"
}

# A letter with an attachment that is no record.
send_mail() {
    {
        printf 'From: anna@ward.example\nTo: bob@elsewhere.example\nSubject: menu\n\nThe menu of this week.\n\n'
        base64 /usr/share/common-licenses/GPL-3
    } > "$WORK/letter"
    curl -sS -f "smtp://$APPROVED:8025" --mail-from anna@ward.example --mail-rcpt bob@elsewhere.example --crlf -T "$WORK/letter"
}

# What is anna's own goes to the hospital's backup.
keep_home() {
    tar -C "$WORK" -cz project | curl -sS -f -T - "http://$APPROVED:8080/home"
}
