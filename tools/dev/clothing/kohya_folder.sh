#!/usr/bin/env bash
# A data folder as people have them, of the clothing tiles: one class to learn and some of the others, in many sizes and formats, captions in
# every form, some files broken.
#   tools/dev/clothing/kohya_folder.sh FOLDER SPRITE [CLASS] [BUILD]     CLASS: sandal
#
#   FOLDER/4_CLASS/         two colours of each training tile of the class: .txt, .caption, or no text (the folder's name is the caption then)
#   FOLDER/1_other clothes/ 24 pictures of each other class, captions in metadata.csv
#   FOLDER/loose.png        no caption: cannot be used
# Sides of 32 to 128 pixels, 1:1, 8:5 and 3:4; PNG, JPEG, WebP (lossy and lossless), BMP. What is broken is counted on the terminal at the end.
# Needs ImageMagick (apt-get install imagemagick).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
usage="usage: kohya_folder.sh FOLDER SPRITE [CLASS] [BUILD]"
out=${1:?$usage}
sprite=${2:?$usage}
class=${3:-sandal}
build=${4:-$here/../../../build}
command -v convert >/dev/null || { echo "kohya_folder.sh: ImageMagick's convert is not installed" >&2; exit 1; }
[ ! -e "$out" ] || { echo "kohya_folder.sh: $out exists; remove it first" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$build/tools/dev/cut_tiles" "$sprite" "$work" >/dev/null
learn="$out/4_$class" others="$out/1_other clothes"
mkdir -p "$learn" "$others"

# One tile in form number $2 into $3 without extension; prints the file's name.
put() { # PICTURE FORM TARGET
    local large=(-filter Mitchell -resize) name
    case $2 in
    0) name=$3.png && cp "$1" "$name" ;;
    1) name=$3.png && convert "$1" "${large[@]}" 96x96 "$name" ;;
    2) name=$3.jpg && convert "$1" "${large[@]}" 64x64 -quality 92 "$name" ;;
    3) name=$3.webp && convert "$1" "${large[@]}" 64x64 -quality 90 "$name" ;;
    4) name=$3.webp && convert "$1" -define webp:lossless=true "$name" ;;
    5) name=$3.png && convert "$1" "${large[@]}" 80x80 -background black -gravity center -extent 128x80 "$name" ;;
    6) name=$3.JPG && convert "$1" "${large[@]}" 72x72 -background black -gravity center -extent 72x96 -quality 92 "$name" ;;
    7) name=$3.bmp && convert "$1" "${large[@]}" 48x48 "BMP3:$name" ;;
    esac
    echo "$name"
}

colours=(red green blue yellow purple white)
# FILE|CAPTION of every training picture, in the order of the tiles.
rows=$work/rows
sed 's/^{"file_name": "\(.*\)", "text": "\(.*\)"}$/\1|\2/' "$work/train/metadata.jsonl" >"$rows"

n=0
while IFS='|' read -r file text; do
    tile=${file%%-*} colour=${file#*-}
    colour=${colour%.png}
    tile=$((10#$tile))
    [ "$colour" = "${colours[tile % 6]}" ] || [ "$colour" = "${colours[(tile + 2) % 6]}" ] || continue
    target=$learn/${file%.png}
    put "$work/train/$file" $(((n + tile / 12) % 8)) "$target" >/dev/null
    case $((n % 12)) in
    5) ;; # the folder says it
    [0-4]) printf '%s\n' "$text" >"$target.txt" ;;
    *) printf '%s' "$text" >"$target.caption" ;;
    esac
    n=$((n + 1))
done < <(grep "|a [a-z]* $class\$" "$rows")
[ $n -gt 0 ] || { echo "kohya_folder.sh: no class called '$class'" >&2; exit 1; }

# Of each other class 4 tiles in every colour.
printf 'file_name,width,text\r\n' >"$others/metadata.csv"
m=0
while IFS='|' read -r file text; do
    name=$(put "$work/train/$file" $((m * 5 % 8)) "$others/${file%.png}")
    printf '"%s",,"%s"\r\n' "${name##*/}" "$text" >>"$others/metadata.csv"
    m=$((m + 1))
done < <(grep -v "|a [a-z]* $class\$" "$rows" | awk -F'[|-]' '{ t = $1 + 0; c = t % 90; if (c < 48 && c % 12 == 5) print }')

# What goes wrong in real folders.
first=$(grep -m1 "|a [a-z]* $class\$" "$rows" | cut -d'|' -f1)
big=$work/big.png
convert "$work/train/$first" -filter Mitchell -resize 96x96 "$big"
head -c 900 "$big" >"$learn/torn.png"
convert "$big" -quality 92 jpg:- | head -c 700 >"$learn/torn.jpg"
convert "$big" -quality 90 webp:- | head -c 300 >"$learn/torn.webp"
: >"$learn/empty.png"
echo "<html>not found</html>" >"$learn/page.jpg"
{ head -c 400 "$big"; printf 'XXXX'; tail -c +405 "$big"; } >"$learn/bits.png"
cp "$big" "$learn/latin.png" && printf 'caf\xe9' >"$learn/latin.txt"
cp "$big" "$learn/.hidden.png"
printf '"lost.png",,"a red coat"\r\n' >>"$others/metadata.csv"
cp "$big" "$out/loose.png"
echo "$out: $n pictures of '$class', $m others; to be skipped: 6 broken pictures, 1 caption that is no UTF-8, 1 row without its picture, 1 picture without a caption"
