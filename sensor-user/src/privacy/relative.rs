//! Names of records given relative to a working directory inside a store.
//!
//! Looked at is the argument, and what follows the last `@` or `=` in it (`file=@doe.dcm`). It is taken for a name if it
//! leads to something below the store's root and either has a slash in it (and is no URL), or something by that name is
//! there. That is asked of the file system when the program starts, for processes whose working directory lies inside a
//! store only.
//!
//! **Not found here:** names without a slash that nothing has when the program starts (a file it is yet to write, one
//! that is gone already); several names in one argument; names in a text of commands.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::text::{Root, parts};

/// The argument with the name in it replaced; none if it names nothing in the store that `cwd` lies in.
pub(super) fn replace(
    roots: &[Root],
    argument: &[u8],
    cwd: &Path,
    token: &dyn Fn(&[u8]) -> String,
) -> Option<String> {
    let (root, below) = inside(roots, cwd.as_os_str().as_bytes())?;
    let head = argument
        .iter()
        .rposition(|b| b"@=".contains(b))
        .map_or(0, |at| at + 1);
    if argument[head..].starts_with(b"/") {
        return None;
    }
    [head, 0].into_iter().find_map(|from| {
        let candidate = &argument[from..];
        let name = resolve(&below, candidate)?;
        (path_like(candidate) || exists(root, &name)).then(|| {
            format!(
                "{}{}",
                String::from_utf8_lossy(&argument[..from]),
                token(&name)
            )
        })
    })
}

/// The root that a directory lies in, and the parts below it.
fn inside<'a>(roots: &'a [Root], directory: &[u8]) -> Option<(&'a Root, Vec<Vec<u8>>)> {
    let directory: Vec<Vec<u8>> = parts(directory).map(<[u8]>::to_vec).collect();
    roots
        .iter()
        .find(|root| directory.starts_with(&root.parts))
        .map(|root| (root, directory[root.parts.len()..].to_vec()))
}

/// The path below the root that a name relative to `below` leads to; none if it leads out, or to the root itself.
fn resolve(below: &[Vec<u8>], name: &[u8]) -> Option<Vec<u8>> {
    if name.is_empty() || name.starts_with(b"/") || name.starts_with(b"-") {
        return None;
    }
    let mut path = below.to_vec();
    for part in parts(name) {
        if part == b".." {
            path.pop()?;
        } else {
            path.push(part.to_vec());
        }
    }
    (!path.is_empty() && path != below).then(|| path.join(&b'/'))
}

fn path_like(name: &[u8]) -> bool {
    name.contains(&b'/') && !name.windows(3).any(|w| w == b"://")
}

fn exists(root: &Root, name: &[u8]) -> bool {
    let mut path = vec![b'/'];
    path.extend(root.parts.join(&b'/'));
    path.push(b'/');
    path.extend(name);
    Path::new(OsStr::from_bytes(&path))
        .symlink_metadata()
        .is_ok()
}
