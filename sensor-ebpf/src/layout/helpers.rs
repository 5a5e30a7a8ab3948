//! Functions of the kernel that programs may call and that not every kernel has. One table for both sides, as with `fields`.

/// A function of the kernel that programs may call, and that not every kernel has.
#[derive(Debug, Clone, Copy)]
pub struct Helper {
    /// Name of the global that is 1 where there is it, and 0 where not.
    pub global: &'static str,
    /// The kernel's function behind it, as its types name it.
    pub function: &'static str,
}

/// Calls the given macro with the table of all of them.
#[macro_export]
macro_rules! helpers {
    ($then:ident) => {
        $then! {
            // The current thread with its type (5.11).
            TYPED_TASK "bpf_get_current_task_btf";
            // Cookies of sockets, in tracing programs (5.12).
            SOCKET_COOKIES "bpf_get_socket_ptr_cookie";
            // What is kept with a socket, in tracing programs (5.11).
            SOCKET_STORAGE "bpf_sk_storage_get_tracing";
            // What a thread came into the kernel with (5.15).
            TASK_REGISTERS "bpf_task_pt_regs";
        }
    };
}

macro_rules! table {
    ($($global:ident $function:literal;)*) => {
        /// The kernel's functions, by the name of the global.
        pub mod function {
            $(
                #[doc = concat!("`", $function, "`.")]
                pub const $global: &str = $function;
            )*
        }

        /// All of them.
        pub const HELPERS: &[Helper] = &[$(Helper {
            global: stringify!($global),
            function: $function,
        },)*];
    };
}

helpers!(table);
