mkdir -p "$WORK/ftp/pub" "$WORK/empty"
chmod 755 "$WORK" "$WORK/ftp" "$WORK/ftp/pub"
mount --bind "$STORE" "$WORK/ftp/pub"
cat > "$WORK/vsftpd.conf" <<CONF
listen=YES
listen_port=7421
background=YES
anonymous_enable=YES
no_anon_password=YES
local_enable=NO
anon_root=$WORK/ftp
secure_chroot_dir=$WORK/empty
seccomp_sandbox=NO
pasv_enable=YES
CONF
vsftpd "$WORK/vsftpd.conf"
