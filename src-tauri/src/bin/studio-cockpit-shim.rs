//! The shim: one per service instance, the parent of what it runs. Everything is in `cockpit-shim`.

fn main() -> std::process::ExitCode {
    cockpit_shim::process::main()
}
