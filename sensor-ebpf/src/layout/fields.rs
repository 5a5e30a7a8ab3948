//! Kernel struct members the programs read. One table for both sides: the programs make a read-only global of each
//! row, the sensor fills it with the member's offset from the running kernel's BTF before loading.
//!
//! The sensor checks kind and size of each member, because the verifier takes a wrong offset for granted when it hits
//! another number of the same size.

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An integer, enum or bit set.
    Int,
    /// An integer of which the lower bytes are read; it may be larger.
    Low,
    /// A pointer to the named struct.
    Pointer(&'static str),
    /// A pointer to anything else.
    Opaque,
    /// A struct of its own.
    Struct,
    /// An array, of however many elements.
    Array,
}

/// A member of a kernel struct.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Name of the global that holds its offset.
    pub global: &'static str,
    /// Name of the struct.
    pub container: &'static str,
    /// Name of the member, with dots into structs inside; members of unnamed structs and unions are found directly.
    pub member: &'static str,
    /// What it must be.
    pub kind: Kind,
    /// Its size in bytes.
    pub size: u32,
    /// Whether the programs can do without it.
    pub required: bool,
}

/// Value of the global of an optional member that the kernel does not have.
pub const ABSENT: u64 = u64::MAX;

/// Calls the given macro with the table of all fields.
#[macro_export]
macro_rules! fields {
    ($then:ident) => {
        $then! {
            TASK_PID "task_struct" "pid" Int 4 required;
            TASK_TGID "task_struct" "tgid" Int 4 required;
            TASK_LEADER "task_struct" "group_leader" Pointer("task_struct") 8 required;
            TASK_PARENT "task_struct" "real_parent" Pointer("task_struct") 8 required;
            TASK_START "task_struct" "start_boottime" Int 8 required;
            TASK_MM "task_struct" "mm" Pointer("mm_struct") 8 required;
            TASK_FILES "task_struct" "files" Pointer("files_struct") 8 required;
            TASK_SIGNAL "task_struct" "signal" Pointer("signal_struct") 8 required;
            TASK_STATUS "task_struct" "thread_info.status" Int 4 optional;
            TASK_PID_STRUCT "task_struct" "thread_pid" Pointer("pid") 8 required;
            TASK_GROUPS "task_struct" "cgroups" Pointer("css_set") 8 required;
            GROUPS_UNIFIED "css_set" "dfl_cgrp" Pointer("cgroup") 8 required;
            GROUP_NODE "cgroup" "kn" Pointer("kernfs_node") 8 required;
            GROUP_ABOVE "cgroup" "self.parent" Pointer("cgroup_subsys_state") 8 required;
            STATE_GROUP "cgroup_subsys_state" "cgroup" Pointer("cgroup") 8 required;
            NODE_NAME "kernfs_node" "name" Opaque 8 required;
            TASK_CRED "task_struct" "cred" Pointer("cred") 8 required;
            CRED_UID "cred" "uid.val" Int 4 required;
            PID_LEVEL "pid" "level" Int 4 required;
            PID_NUMBERS "pid" "numbers" Array 0 required;
            SIGNAL_LIVE "signal_struct" "live.counter" Int 4 required;
            MM_ARG_START "mm_struct" "arg_start" Int 8 required;
            MM_ARG_END "mm_struct" "arg_end" Int 8 required;
            MM_ENV_END "mm_struct" "env_end" Int 8 required;
            MM_PROGRAM "mm_struct" "exe_file" Pointer("file") 8 required;
            MM_OWNER "mm_struct" "owner" Pointer("task_struct") 8 optional;
            BPRM_FILENAME "linux_binprm" "filename" Opaque 8 required;
            FILES_FDT "files_struct" "fdt" Pointer("fdtable") 8 required;
            FDT_MAX "fdtable" "max_fds" Int 4 required;
            FDT_FD "fdtable" "fd" Opaque 8 required;
            FILE_INODE "file" "f_inode" Pointer("inode") 8 required;
            FILE_DENTRY "file" "f_path.dentry" Pointer("dentry") 8 required;
            FILE_MODE "file" "f_mode" Int 4 required;
            VMA_FILE "vm_area_struct" "vm_file" Pointer("file") 8 required;
            FILE_PRIVATE "file" "private_data" Opaque 8 required;
            TTY_OF_FILE "tty_file_private" "tty" Pointer("tty_struct") 8 optional;
            TTY_OTHER_END "tty_struct" "link" Pointer("tty_struct") 8 optional;
            PATH_DENTRY "path" "dentry" Pointer("dentry") 8 required;
            INODE_MODE "inode" "i_mode" Int 2 required;
            INODE_INO "inode" "i_ino" Int 8 required;
            INODE_GENERATION "inode" "i_generation" Int 4 required;
            INODE_NLINK "inode" "i_nlink" Int 4 required;
            INODE_SIZE "inode" "i_size" Int 8 required;
            INODE_RDEV "inode" "i_rdev" Int 4 required;
            INODE_SB "inode" "i_sb" Pointer("super_block") 8 required;
            INODE_ALIASES "inode" "i_dentry.first" Pointer("hlist_node") 8 required;
            SB_DEV "super_block" "s_dev" Int 4 required;
            SB_MAGIC "super_block" "s_magic" Int 8 required;
            DENTRY_PARENT "dentry" "d_parent" Pointer("dentry") 8 required;
            DENTRY_INODE "dentry" "d_inode" Pointer("inode") 8 required;
            DENTRY_NAME "dentry" "d_name.name" Opaque 8 required;
            DENTRY_NAME_LEN "dentry" "d_name.len" Int 4 required;
            DENTRY_ALIAS "dentry" "d_u.d_alias" Struct 16 optional;
            RENAME_OLD "renamedata" "old_dentry" Pointer("dentry") 8 required;
            RENAME_NEW "renamedata" "new_dentry" Pointer("dentry") 8 required;
            RENAME_FLAGS "renamedata" "flags" Int 4 required;
            BPRM_FILE "linux_binprm" "file" Pointer("file") 8 required;
            REQUEST_FILE "io_kiocb" "file" Pointer("file") 8 optional;
            REQUEST_OPCODE "io_kiocb" "opcode" Int 1 optional;
            REQUEST_FLAGS "io_kiocb" "flags" Low 4 optional;
            REQUEST_RESULT "io_kiocb" "cqe.res" Int 4 optional;
            SPLICE_FROM "io_splice" "splice_fd_in" Int 4 optional;
            SPLICE_FLAGS "io_splice" "flags" Int 4 optional;
            CQE_RESULT "io_uring_cqe" "res" Int 4 optional;
            KIOCB_FILE "kiocb" "ki_filp" Pointer("file") 8 required;
            IOCB_BYTES "iocb" "aio_nbytes" Int 8 required;
            IOCB_OFFSET "iocb" "aio_offset" Int 8 required;
            SOCKET_SK "socket" "sk" Pointer("sock") 8 required;
            SOCK_FAMILY "sock" "__sk_common.skc_family" Int 2 required;
            SOCK_REMOTE4 "sock" "__sk_common.skc_daddr" Int 4 required;
            SOCK_LOCAL4 "sock" "__sk_common.skc_rcv_saddr" Int 4 required;
            SOCK_REMOTE_PORT "sock" "__sk_common.skc_dport" Int 2 required;
            SOCK_LOCAL_PORT "sock" "__sk_common.skc_num" Int 2 required;
            SOCK_REMOTE6 "sock" "__sk_common.skc_v6_daddr" Struct 16 required;
            SOCK_LOCAL6 "sock" "__sk_common.skc_v6_rcv_saddr" Struct 16 required;
            SOCK_STATE "sock" "__sk_common.skc_state" Int 1 required;
            SOCK_PROTOCOL "sock" "sk_protocol" Int 2 required;
            SOCK_TYPE "sock" "sk_type" Int 2 required;
            SOCK_BACKLOG "sock" "sk_max_ack_backlog" Int 4 required;
            SOCK_PEER_PID "sock" "sk_peer_pid" Pointer("pid") 8 required;
            SOCK_COOKIE "sock" "__sk_common.skc_cookie.counter" Int 8 required;
            SOCK_FLAGS "sock" "__sk_common.skc_flags" Int 8 required;
            UNIX_PEER "unix_sock" "peer" Pointer("sock") 8 required;
            UNIX_ADDR "unix_sock" "addr" Pointer("unix_address") 8 required;
            UNIX_ADDR_LEN "unix_address" "len" Int 4 required;
            MPTCP_FIRST "mptcp_sock" "first" Pointer("sock") 8 optional;
            TCP_SENT "tcp_sock" "bytes_sent" Int 8 required;
            TCP_RETRANS "tcp_sock" "bytes_retrans" Int 8 required;
            TCP_RECEIVED "tcp_sock" "bytes_received" Int 8 required;
            TCP_ACKED "tcp_sock" "bytes_acked" Int 8 required;
            TCP_UNACKED "tcp_sock" "snd_una" Int 4 required;
            TCP_WRITE_SEQ "tcp_sock" "write_seq" Int 4 required;
            SIGINFO_CODE "kernel_siginfo" "si_code" Int 4 required;
            MAP_ID "bpf_map" "id" Int 4 required;
            PROG_AUX "bpf_prog" "aux" Pointer("bpf_prog_aux") 8 required;
            AUX_ID "bpf_prog_aux" "id" Int 4 required;
            LINK_ID "bpf_link" "id" Int 4 required;
            REGS_NR "pt_regs" "orig_ax" Int 8 required;
            REGS_ARG0 "pt_regs" "di" Int 8 required;
            REGS_ARG1 "pt_regs" "si" Int 8 required;
            REGS_ARG2 "pt_regs" "dx" Int 8 required;
            REGS_ARG3 "pt_regs" "r10" Int 8 required;
            REGS_ARG4 "pt_regs" "r8" Int 8 required;
        }
    };
}

macro_rules! required {
    (required) => {
        true
    };
    (optional) => {
        false
    };
}

macro_rules! table {
    ($($global:ident $container:literal $member:literal $kind:ident $(($target:literal))? $size:literal $need:ident;)*) => {
        /// All fields.
        pub const FIELDS: &[Field] = &[$(Field {
            global: stringify!($global),
            container: $container,
            member: $member,
            kind: Kind::$kind $(($target))?,
            size: $size,
            required: required!($need),
        },)*];
    };
}

fields!(table);
