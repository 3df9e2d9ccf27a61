# tiller score: a folder's mean, what was left out and why, and what it must refuse.
. "$(dirname "$0")/support.sh"

clip=$fixtures/clip_score
cp -r "$clip/pictures" "$tmp/p"
chmod -R u+w "$tmp/p"
export XDG_CACHE_HOME=$tmp/kept
run score clip "$tmp/p" --encoder "$clip" --device cpu --csv "$tmp/s.csv"
check 'scored' test "$code" -eq 0
prints 'clip +cosine +0\.2986'
check 'a row a picture, and a heading' test "$(wc -l <"$tmp/s.csv")" -eq $(($(ls "$tmp"/p/*.png | wc -l) + 1))
run score clip "$tmp/p" --encoder "$clip" --device cpu --json --seed 1
prints '"metric": "clip"'
prints '"n": 6'
prints '"interval": \['
prints '"encoder_sha256": "[0-9a-f]{64}"'
prints '"encoder": "8-bit RGB, resized'

# what cannot be scored is left out and named; --strict refuses it
printf '\211PNG\r\n\032\nnothing' >"$tmp/p/zz_broken.png"
echo 'a red circle' >"$tmp/p/zz_broken.txt"
run score clip "$tmp/p" --encoder "$clip" --device cpu
check 'partial' test "$code" -eq 3
grep -q zz_broken "$tmp/out" "$tmp/err" || fail 'the broken picture is not named'
prints '0\.2986'
run score clip "$tmp/p" --encoder "$clip" --device cpu --strict --csv "$tmp/t.csv"
check 'strict' test "$code" -eq 4
says 'zz_broken'
absent "$tmp/t.csv"

# rewards that read no prompts, a head, and an ensemble with its members
mkdir "$tmp/bare"
cp "$clip"/pictures/*.png "$tmp/bare"
run score jpeg "$tmp/bare"
check 'jpeg' test "$code" -eq 0
prints 'jpeg +compressible +-2\.348 +6'
run score colour:orange "$tmp/bare"
prints 'colour +#ffa500 +-0\.217'
run score "aesthetic:$fixtures/rewards/mlp.safetensors" "$tmp/bare" --encoder "$clip" --device cpu
prints 'aesthetic +mlp +-1\.799'
run score "ensemble:min:clip:$clip+jpeg" "$clip/pictures" --device cpu --csv "$tmp/e.csv" --json
prints '"flavour": "min"'
prints '"value": 0\.2986'
check 'a column a member' grep -q '^file,prompt,score,"clip:.*","jpeg"$' "$tmp/e.csv"
expect 2 score "aesthetic:$fixtures/rewards/mlp.safetensors" "$tmp/bare"
says 'encoder=FOLDER'
expect 2 score aesthetic "$tmp/bare" --encoder "$clip"
says 'aesthetic:HEAD'
expect 4 score aesthetic:head.pth "$tmp/bare" --encoder "$clip" --device cpu
says 'head.pth'
expect 2 score colour:oragne "$tmp/bare"
says 'did you mean orange'
expect 2 score ensemble:max:jpeg+scene "$tmp/bare"
says 'mean, min, median'

# distances: table, JSON, CSV, the cache outside the folder, stand-ins for folders
export XDG_CACHE_HOME=$tmp/cache
two="$tmp/bare $clip/pictures"
run score fid $two --encoder "$clip" --device cpu
check 'fid' test "$code" -eq 0
prints 'fid +- +[0-9.e-]+ +6'
prints 'rank-deficient'
check 'embeddings are kept' test -s "$tmp"/cache/tiller/embeddings/*.pack
cp "$tmp/out" "$tmp/first"
run score fid $two --encoder "$clip" --device cpu
check 'the same from the cache' cmp "$tmp/out" "$tmp/first"
run score fid $two --encoder "$clip" --device cpu --no-cache --threads 2 --workers 2
check 'the same without it' cmp "$tmp/out" "$tmp/first"
run score kid $two --encoder "$clip" --device cpu --json --csv "$tmp/k.csv"
prints '"metric": "kid"'
prints '"interval_method": "jackknife'
prints '"encoder_sha256": "[0-9a-f]{64}"'
prints '"skipped": \[\]'
check 'a heading and a value' test "$(wc -l <"$tmp/k.csv")" -eq 2
run embed "$tmp/bare" --encoder "$clip" --device cpu -o "$tmp/e.npy"
check 'embed' test "$code" -eq 0
check 'whose rows' grep -q '"npy_sha256"' "$tmp/e.npy.json"
run stats "$tmp/e.npy" -o "$tmp/e.npz"
check 'stats' test "$code" -eq 0
run score fid "$tmp/e.npz" "$tmp/e.npy"
check 'no encoder is needed' test "$code" -eq 0
sed 's/"device": "cpu"/"device": "vulkan:0"/' "$tmp/e.npy.json" >"$tmp/e2.npy.json"
cp "$tmp/e.npy" "$tmp/e2.npy"
run score fid "$tmp/e.npz" "$tmp/e2.npy"
prints 'encoded on cpu and .* on vulkan:0: rounding differs'
sed 's/"dtype": "f32"/"dtype": "bf16"/' "$tmp/e.npy.json" >"$tmp/e2.npy.json"
expect 4 score fid "$tmp/e.npz" "$tmp/e2.npy"
says "dtype: 'f32' and 'bf16'"
run score vendi "$tmp/e.npy" --order inf
prints 'vendi +cosine'
run score clip $two --encoder "$clip" --device cpu
prints 'clip +cosine +1 +6'
run score jpeg "$tmp/bare/$(ls "$tmp/bare" | head -1)"
prints 'n/a'
printf 'no picture' >"$tmp/bare/zz.png"
run score fid $two --encoder "$clip" --device cpu
check 'partial' test "$code" -eq 3
prints 'zz.png'
run score fid $two --encoder "$clip" --device cpu --strict
check 'strict' test "$code" -eq 4
says 'zz.png'
rm "$tmp/bare/zz.png"
for table in metrics flavours encoders; do expect 0 list $table; done
expect 2 score fid "$tmp/bare" --encoder "$clip"
says 'two sets'
expect 2 score fid $two
says 'inception:FILE'
expect 2 score fid $two --encoder "$clip" --flavour tidy
says 'pytorch-fid, clean'
expect 2 score kid "$tmp/e.npz" "$tmp/e.npy"
says 'mean and covariance only'
expect 2 score fid $two --encoder "$clip" --bandwidth 2
says 'fid has no --bandwidth'
expect 2 embed "$tmp/bare" --encoder "$clip" -o "$tmp/e.npz"
says 'must end in .npy'
expect 2 embed "$tmp/bare" -o "$tmp/e.npy"
says 'list encoders'
expect 5 embed "$tmp/bare" --encoder "$clip" -o "$tmp/nowhere/e.npy"
printf 'PK nothing' >"$tmp/bad.npz"
expect 4 score fid "$tmp/bad.npz" "$tmp/e.npy"
says 'bad.npz'

# the same without a seed as with 0, and the seed is told; a value alone; nothing is overwritten
run score jpeg "$tmp/bare" --json
cp "$tmp/out" "$tmp/first"
run score jpeg "$tmp/bare" --json
check 'the same again' cmp "$tmp/out" "$tmp/first"
prints "\"interval_method\": \"Student's t over files\""
run score fid $two --encoder "$clip" --device cpu --no-interval
prints 'n/a'
run score kid "$tmp/e.npy" "$tmp/e.npy" --flavour clean-fid
prints '^seed +0$'
cp "$tmp/e.npy" "$tmp/g.npy"
expect 2 score kid "$tmp/e.npy" "$tmp/g.npy" --csv "$tmp/g.npy"
says 'would overwrite'
check 'it is what it was' cmp "$tmp/e.npy" "$tmp/g.npy"
expect 2 score fad "$tmp/e.npy" "$tmp/g.npy" --csv "$tmp/x.csv" --indiv "$tmp/x.csv"
says 'two files'
printf 'nothing' >"$tmp/h.npy"
run score kid "$tmp/e.npy" "$tmp/h.npy" "$tmp/g.npy"
check 'a set without a value' test "$code" -eq 3
prints 'failed'
prints 'h.npy'
expect 4 score kid "$tmp/e.npy" "$tmp/h.npy" "$tmp/g.npy" --strict
check 'one row clip' test "$("$tiller" list metrics | grep -c '^ *clip ')" -eq 1

# sounds: an encoder without weights, CLAP, the words of a flavour
songs=$fixtures/clap_score
run score fad "$songs" "$songs"
check 'fad' test "$code" -eq 0
prints 'fad +symmetric +0 +3'
prints 'logmel'
run score clap "$songs" "$songs" --encoder "$songs" --device cpu
prints 'clap +cosine +1 +3'
run score fad "$songs" "$songs" --encoder "$songs" --flavour fadtk --device cpu --json
prints '"flavour": "fadtk"'
prints 'compat=fadtk'
prints 'kaiser-fadtk'
run score fad "$songs" "$songs" --flavour google
prints 'flavour google changes nothing of encoder logmel'
expect 4 score fad "$clip/pictures" "$songs"
says 'no sounds in this folder'
expect 2 score fid "$songs" "$songs" --encoder logmel
says 'fid is a measure of pictures'

# a table that cannot be written does not cost what was found
run score jpeg "$clip/pictures" --csv /proc/nothing.csv
check 'no table' test "$code" -eq 5
prints 'jpeg +compressible'
says 'nothing.csv'

# JSON whatever files are called
if cp "$clip/pictures/$(ls "$clip/pictures" | grep png | head -1)" "$tmp/bare/$(printf 'caf\351.png')" 2>/dev/null; then
    printf 'no picture' >"$tmp/bare/$(printf 'br\351.png')"
    run score fid "$tmp/bare" "$tmp/bare" --encoder "$clip" --device cpu --json
    prints 'br\\\\xe9\.png'
    check 'UTF-8' iconv -f UTF-8 -t UTF-8 "$tmp/out"
    run embed "$tmp/bare" --encoder "$clip" --device cpu -o "$tmp/bytes.npy"
    check 'embed, partly' test "$code" -eq 3
    run score vendi "$tmp/bytes.npy" --json
    check 'its description is read' test "$code" -eq 0
    check 'without a word' test ! -s "$tmp/err"
    rm "$tmp"/bare/*"$(printf '\351')".png
fi

# refusals
expect 2 score
says 'needs METRIC FOLDER'
expect 2 score clip
expect 2 score clip "$tmp/p"
says 'encoder'
expect 2 score klip "$tmp/p" --encoder "$clip"
says klip
expect 2 score clip "$tmp/p" --encoder "$clip" --flavour vanilla
says vanilla
expect 4 score clip "$tmp/nothing" --encoder "$clip" --device cpu
mkdir "$tmp/empty"
expect 4 score clip "$tmp/empty" --encoder "$clip" --device cpu
says empty
expect 4 score clip "$tmp/p" --encoder "$tmp/nothing" --device cpu
says nothing
expect 4 score clip "$tmp/p" --encoder "$fixtures/unet_sd1" --device cpu
finish
