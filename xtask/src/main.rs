//! The workshop's front door: one enum, one file per command.
mod codegen;
fn main() -> anyhow::Result<()> { codegen::run() }
