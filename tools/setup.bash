# shellcheck shell=bash
# What tools/start and tools/test share: finding, installing and building. Sourced with the repository as the working
# directory.

# The oldest Node that the web client's tools run on.
NODE_MAJOR_MIN=20

# Chosen before any of the output goes through a pipe: a log is no place for escape codes.
BOLD='' PLAIN=''
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then BOLD=$'\033[1m' PLAIN=$'\033[0m'; fi

# Says what happens now.
step() {
    printf '%s▸ %s%s\n' "$BOLD" "$*" "$PLAIN"
}

# Ends with a sentence on what is wrong and how to mend it.
refuse() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Checks for what only the user can choose how to install.
need_toolchains() {
    command -v cargo >/dev/null || refuse "cargo is missing; install Rust from https://rustup.rs"
    need_rust
    command -v npm >/dev/null || refuse "npm is missing; install Node $NODE_MAJOR_MIN or later with npm"
    local node_major
    node_major=$(node --print 'process.versions.node.split(".")[0]')
    ((node_major >= NODE_MAJOR_MIN)) || refuse "Node $node_major is too old; install Node $NODE_MAJOR_MIN or later"
}

# Checks for the oldest Rust that Cargo.toml allows; Cargo itself says it for each package, and not what to do.
need_rust() {
    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    found=$(rustc --version | cut -d' ' -f2)
    # A pre-release, such as 1.95.0-nightly, has what its version will have.
    [[ $(printf '%s\n' "$wanted" "${found%%-*}" | sort --version-sort | head -n 1) == "$wanted" ]] ||
        refuse "Rust $found is too old; Rust $wanted or later is needed: rustup update stable"
}

# Installs Debian packages whose command is missing; each argument is COMMAND:PACKAGE.
need_packages() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
    done
    ((${#missing[@]} == 0)) && return
    command -v apt-get >/dev/null || refuse "please install: ${missing[*]}"
    step "Installing ${missing[*]}"
    local as_root=()
    ((EUID == 0)) || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# Installs a folder's npm packages, exactly as locked, unless they are there already.
need_node_modules() {
    local folder=$1
    shift
    local stamp="$folder/node_modules/.package-lock.json"
    if [[ ! -f $stamp || $folder/package-lock.json -nt $stamp ]]; then
        step "Installing the npm packages of $folder"
        # No package here needs to run a script of its own to be installed.
        (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
        # An install that had nothing to change leaves the stamp as old as it was.
        touch "$stamp"
    fi
}

# Builds the page into tools/web/dist, if any of its sources is newer.
build_web_client() {
    need_node_modules tools/web
    local page=tools/web/dist/index.html
    if [[ ! -f $page || -n $(find tools/web -path '*/node_modules' -prune -o -path '*/dist' -prune -o -newer "$page" -type f -print -quit) ]]; then
        step "Building the web client"
        (cd tools/web && npm run --silent build)
        # The page is built into the binary; Cargo sees the change by this file's time.
        touch "$page"
    fi
}

# Builds the release binary. Cargo itself knows what is up to date, and says what it compiles.
build_service() {
    [[ -x target/release/voice-service ]] || step "Building the service (some minutes, this once)"
    cargo build --release --locked --package signaling
}
