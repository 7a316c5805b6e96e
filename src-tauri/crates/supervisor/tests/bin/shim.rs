//! The shim, for the tests of the supervisor.

fn main() -> std::process::ExitCode {
    cockpit_shim::process::main()
}
