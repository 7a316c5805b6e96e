# What the scripts share. Sourced, with the working folder at the project's root.

# Where a Node.js that we brought lies, and what cargo installs.
tools="${XDG_CACHE_HOME:-$HOME/.cache}/studio-cockpit"
PATH="$HOME/.cargo/bin:$tools/node/bin:$PATH"
export PATH

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }
# at_least 20.19 v20.20.2
at_least() { [ "$(printf '%s\n%s\n' "$1" "${2#v}" | sort -V | head -1)" = "$1" ]; }

# npm ci in a folder, when its lock file changed since.
modules() {
  local lock="$1/package-lock.json" stamp="$1/node_modules/.studio-cockpit"
  if ! cmp -s "$lock" "$stamp"; then
    say "$1: installing its modules"
    npm --prefix "$1" ci --no-audit --no-fund --loglevel=error
    cp "$lock" "$stamp"
  fi
}

# The UI's files in ui/dist, built when a source is newer.
build_ui() {
  local stamp=target/ui-built
  modules ui
  if [ ! -e ui/dist/index.html ] || [ ! -e $stamp ] ||
    [ -n "$(find ui/src ui/public ui/index.html ui/package-lock.json ui/*.ts ui/*.js -newer $stamp -print -quit)" ]; then
    say "ui: building"
    npm --prefix ui run --silent build -- --logLevel error
    mkdir -p target && touch $stamp
  fi
}

# Where cargo puts the programs of a profile.
built() { if [ "$1" = dev ]; then echo target/debug; else echo "target/$1"; fi; }
