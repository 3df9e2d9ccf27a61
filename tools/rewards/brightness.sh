#!/bin/sh
# A reward in POSIX shell: the mean of a picture's bytes, 0 (black) to 255 (white). od, awk, gzip, head and tail
# are enough to read our PNG files: 8 bits, three channels, not interlaced. Slow beyond toy sizes, and true.
#
#   tiller score exec:tools/rewards/brightness.sh FOLDER

# Undoes the filters of PNG rows and takes the mean. Input: numbers, row by row, each row's filter in front.
unfilter='
    function paeth(a, b, c,   p, x, y, z) {
        p = a + b - c; x = p > a ? p - a : a - p; y = p > b ? p - b : b - p; z = p > c ? p - c : c - p
        return x <= y && x <= z ? a : y <= z ? b : c
    }
    {
        for (f = 1; f <= NF; f++) {
            if (at == 0) { filter = $f; at = 1; continue }
            left = at > 3 ? row[at - 3] : 0; up = above[at] + 0; corner = at > 3 ? above[at - 3] + 0 : 0
            x = $f
            if (filter == 1) x += left
            if (filter == 2) x += up
            if (filter == 3) x += int((left + up) / 2)
            if (filter == 4) x += paeth(left, up, corner)
            row[at] = x % 256; sum += row[at]; n++
            if (at++ == 3 * width) { for (i = 1; i < at; i++) above[i] = row[i]; at = 0 }
        }
    }
    END { if (n != 3 * width * height) exit 1; printf "%.6f", sum / n }'

number() { # of four bytes at $2 of file $1
    od -An -v -tu1 -j "$2" -N 4 "$1" | awk '{ print (($1 * 256 + $2) * 256 + $3) * 256 + $4 }'
}

pixels() { # the compressed pixels of file $1: its IDAT chunks without the two bytes of zlib
    at=8
    while size=$(number "$1" "$at") && [ -n "$size" ]; do
        if [ "$(tail -c +$((at + 5)) "$1" | head -c 4)" = IDAT ]; then
            tail -c +$((at + 9)) "$1" | head -c "$size"
        fi
        at=$((at + 12 + size))
    done | tail -c +3
}

brightness() { # gzip misses its own checksum at the end, but has written everything by then
    { printf '\037\213\010\000\000\000\000\000\000\003' && pixels "$1"; } | gzip -dc 2>/dev/null |
        od -An -v -tu1 | awk -v width="$(number "$1" 16)" -v height="$(number "$1" 20)" "$unfilter"
}

read -r _hello
echo '{"version":1,"name":"brightness","deterministic":true,"range":[0,255],"max_batch":8}'

while read -r line; do
    id=$(printf '%s\n' "$line" | sed 's/^{"id":\([0-9]*\).*/\1/')
    case $line in
    *'"kind":"score",'*) ;;
    *)
        echo "{\"id\":$id,\"error\":{\"text\":\"this program knows the kind score only\"}}"
        continue
        ;;
    esac
    scores=
    bad=
    for path in $(printf '%s\n' "$line" | awk -F '"path":"' '{ for (i = 2; i <= NF; i++) { sub(/".*/, "", $i); print $i } }'); do
        score=$(brightness "$path") || bad=$path
        scores=$scores${scores:+,}$score
    done
    if [ -n "$bad" ]; then
        echo "brightness.sh: cannot read $bad" >&2
        echo "{\"id\":$id,\"error\":{\"text\":\"cannot read a picture\"}}"
    else
        echo "{\"id\":$id,\"scores\":[$scores]}"
    fi
done
