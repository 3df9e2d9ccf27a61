# What the scripts here share. A script sources this first; it ends with `finish`.
#
#   expect CODE ARGS...      runs the program; checks the exit code, keeps the streams in $tmp/out and $tmp/err.
#                            A failure must say exactly one line that begins with "tiller: "; a success nothing.
#   says PATTERN             standard error matches
#   prints PATTERN           standard output matches
tiller=$1 tool=$2 source=$3
fixtures=$source/tests/fixtures
tmp=$(mktemp -d "${TMPDIR:-/tmp}/tiller-cli.XXXXXX") || exit 1
trap 'rm -rf "$tmp"' EXIT
failures=0 checks=0 last=

fail() {
    failures=$((failures + 1))
    printf 'FAIL: %s\n  after: tiller %s\n' "$1" "$last"
    sed 's/^/  stdout: /' "$tmp/out" | head -5
    sed 's/^/  stderr: /' "$tmp/err" | head -5
}

run() {
    last="$*"
    "$tiller" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
    code=$?
}

expect() {
    local want=$1 lines
    shift
    run "$@"
    checks=$((checks + 1))
    [ "$code" -eq "$want" ] || fail "exit code $code, expected $want"
    lines=$(wc -l <"$tmp/err")
    if [ "$want" -eq 0 ]; then
        [ "$lines" -eq 0 ] || fail "a success said something on standard error"
    elif [ "$lines" -ne 1 ] || [ "$(head -c 8 "$tmp/err")" != "tiller: " ]; then
        fail "a failure must say one line that begins with 'tiller: '"
    fi
}

says() {
    checks=$((checks + 1))
    grep -Eq -- "$1" "$tmp/err" || fail "standard error lacks /$1/"
}

prints() {
    checks=$((checks + 1))
    grep -Eq -- "$1" "$tmp/out" || fail "standard output lacks /$1/"
}

# check TEXT COMMAND...: the command succeeds
check() {
    local text=$1
    shift
    checks=$((checks + 1))
    "$@" >"$tmp/check" 2>&1 || {
        fail "$text"
        sed 's/^/  /' "$tmp/check" | head -5
    }
}

absent() {
    checks=$((checks + 1))
    [ ! -e "$1" ] || fail "$1 was written"
}

# The folder holds these names and nothing else, hidden ones too.
holds() {
    local folder=$1 have
    shift
    checks=$((checks + 1))
    have=$(ls -A "$folder" | tr '\n' ' ')
    [ "$have" = "${*:+$* }" ] || fail "$folder holds '$have', expected '$*'"
}

finish() {
    printf '%s checks, %s failures\n' "$checks" "$failures"
    [ "$failures" -eq 0 ]
    exit
}
