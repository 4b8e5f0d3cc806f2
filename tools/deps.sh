#!/bin/sh
# Installs the Debian packages that are missing: tools/deps.sh [build|dev|fuzz]. As root or with password-less
# sudo through apt; otherwise prints the line to run and fails.
set -eu
build="gcc g++ pkg-config meson ninja-build python3 libhts-dev librdkit-dev libboost-dev libjansson-dev libssl-dev libxxhash-dev liblmdb-dev libzip-dev libcmocka-dev zlib1g-dev libjs-chart.js"
dev="libdnnl-dev libsimde-dev libhdf5-dev hdf5-tools clang clang-format clang-tidy gcovr valgrind"
fuzz="clang libclang-rt-14-dev"
want=$build
case ${1:-build} in
  dev) want="$build $dev" ;;
  fuzz) want="$build $fuzz" ;;
esac
missing=
for package in $want; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
install="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" = 0 ]; then
  as=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  as="sudo -n"
else
  echo "These Debian packages are missing. Run as root:" >&2
  echo "  apt-get update && $install" >&2
  exit 1
fi
echo "installing:$missing" >&2
$as apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $as $install
