//! The shim under its crate's own name, for this crate's tests; the product ships `studio-cockpit-shim`.

fn main() -> std::process::ExitCode {
    cockpit_shim::process::main()
}
