# What people type wrong, and what they ask for.
. "$(dirname "$0")/support.sh"

expect 2
says 'tiller help'
expect 2 inspekt file
says "no command 'inspekt'; did you mean inspect"
expect 2 zzzzzz
says 'tiller help'
expect 2 --device cpu list
says 'options follow the command'
expect 0 --version
prints '^tiller [0-9]+\.[0-9]+\.[0-9]+$'
expect 0 help
prints '^Examples:'
prints 'Exit codes'
expect 0 --help
prints '^Commands:'
expect 2 help nosuch

# every command that the program names has its help: examples first, then its options
run help
verbs=$(sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' "$tmp/out")
check 'the help names commands' test "$(echo "$verbs" | wc -w)" -ge 4
for verb in $verbs; do
    expect 0 "$verb" -h
    prints "^tiller $verb: "
    prints "^  tiller $verb"
    check "$verb: examples come before the options" \
        awk '/^Examples:/ { e = NR } /^Options of every command:/ { o = NR } END { exit !(e && o && e < o) }' "$tmp/out"
    prints '--device NAME'
    prints '--threads N'
    prints '--seed N'
    prints '--json'
    prints '--quiet'
    cp "$tmp/out" "$tmp/help"
    expect 0 help "$verb"
    check "help $verb and $verb -h say the same" cmp "$tmp/help" "$tmp/out"
    expect 0 "$verb" --no-such-thing -h
    more=
    [ "$verb" = train ] && more='--method vae'
    expect 2 "$verb" $more --sede 3
    says '--sede is no option here; did you mean --seed'
    expect 2 "$verb" $more --threads many
    expect 2 "$verb" $more --threads
    says '--threads needs a value'
    expect 2 "$verb" $more --seed -1
    expect 2 "$verb" $more --set nothing
    says 'KEY=VALUE'
    if [ "$verb" = report ]; then # it takes as many runs as there are
        expect 4 report a b c d e
        says 'a: there is no such folder'
    else
        expect 2 "$verb" $more a b c d e
        says 'one argument too many|no benchmark|there is no metric'
    fi
done

expect 2 inspect
says 'inspect needs FILE_OR_FOLDER'
expect 2 list nonsense
says "no table 'nonsense'"
expect 2 list modles
says 'did you mean models'
expect 0 list
prints UNet2DConditionModel
prints ddim
expect 0 list --json samplers
prints '"schema": "tiller.list/1"'
expect 0 list potentials
prints immediate
expect 0 list resamplers
prints systematic

# no colours away from a terminal; control characters are not passed on
expect 4 inspect "$tmp/$(printf 'a\033[31mb')"
says 'a.\[31mb'
check 'no escape sequences' sh -c "! grep -q \"\$(printf '\\033')\" '$tmp/err'"

# a reader that goes away is no error; a full disk is
"$tiller" inspect "$fixtures/unet_sd2/diffusion_pytorch_model.safetensors" 2>"$tmp/err" | head -1 >"$tmp/out"
codes="${PIPESTATUS[*]}"
last='inspect | head -1'
check "a closed pipe is fine (codes $codes)" test "$codes" = "0 0"
check 'and silent' test ! -s "$tmp/err"
"$tiller" help 2>"$tmp/err" | true
check 'a closed pipe is silent' test ! -s "$tmp/err"
if [ -w /dev/full ]; then
    "$tiller" list >/dev/full 2>"$tmp/err"
    check 'a full disk has its code' test $? -eq 5
    says 'standard output: No space left'
fi
"$tiller" list >&- 2>"$tmp/err"
check 'a closed standard output survives' test $? -eq 0
"$tiller" list 0<&- >"$tmp/out" 2>&-
check 'closed input and error survive' test $? -eq 0

# the program is written against include/tiller alone
check 'no header of the engine in tools/cli' sh -c "! grep -h '#include \"' '$source'/tools/cli/*.[ch] | grep -v '\"cli.h\"'"
finish
