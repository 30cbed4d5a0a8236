#!/bin/sh
# Move a Python, all that it is linked with, and coalmine into one folder that needs nothing else:
#   relocate.sh PREFIX SITE_PACKAGES INTO
set -eu
prefix=$1 packages=$2 into=$3
python=$into/python/bin/python3.11

mkdir -p "$into/lib" "$into/bin" "$into/home" "$into/state"
cp -a "$prefix" "$into/python"
find "$into/python" -name __pycache__ -prune -exec rm -rf {} +
mkdir -p "$into/python/lib/python3.11/site-packages"
cp -a "$packages/." "$into/python/lib/python3.11/site-packages"

# Every library that a program or a module names, but for those that come along already.
{ echo "$python"; find "$into/python" -name '*.so*' -type f; } \
  | xargs ldd 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// {print $3}' | sort -u \
  | while read -r library; do
      case $library in
        "$prefix"/* | "$into"/* | */libpython*) ;;
        *) cp -Ln "$library" "$into/lib/" ;;
      esac
    done
loader=$(patchelf --print-interpreter "$python")
cp -L "$loader" "$into/lib/"
# Names are looked up by libraries that nothing is linked with.
for library in $(dirname "$(ldd "$python" | awk '$1 ~ /^libc\.so/ {print $3}')")/libnss_*.so.2; do
  if [ -e "$library" ]; then cp -L "$library" "$into/lib/"; fi
done

patchelf --set-interpreter "$into/lib/$(basename "$loader")" "$python"
for program in "$python" "$into"/python/lib/libpython*.so.*; do
  if [ -e "$program" ]; then
    patchelf --force-rpath --set-rpath "$into/lib:$into/python/lib" "$program"
  fi
done
# The program's search path counts for its modules as well, unless they have one of their own.
find "$into/python/lib/python3.11" -name '*.so*' -type f | while read -r module; do
  own=$(patchelf --print-rpath "$module" 2>/dev/null || true)
  if [ -n "$own" ]; then patchelf --set-rpath "$own:$into/lib" "$module"; fi
done
cat > "$into/bin/coalmine" <<PROGRAM
#!$python
import sys
from coalmine.cli import main
sys.exit(main())
PROGRAM
chmod 755 "$into/bin/coalmine"
