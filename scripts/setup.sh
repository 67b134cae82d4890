# SPDX-License-Identifier: Apache-2.0
# What a fresh Debian 12 machine needs, sourced by ./dev. Sets `cuda`, the toolkit's directory.

packages=(
    meson ninja-build g++ pkg-config python3 ccache
    catch2 libzstd-dev liblz4-dev libseccomp-dev libtomlplusplus-dev nlohmann-json3-dev
    libcli11-dev libspdlog-dev libsystemd-dev
    clang clang-format clang-tidy llvm libclang-rt-14-dev valgrind spin
    qemu-system-x86 busybox-static pciutils zstd patchelf mmdebstrap e2fsprogs
    debhelper lintian rpm rpmlint
)

# NVIDIA's toolkit comes first: it is the one thing that apt cannot install from Debian.
find_toolkit() {
    local candidate
    for candidate in "${CUDA_HOME:-}" /usr/local/cuda "$(dirname "$(dirname "$(command -v nvcc || true)")")"; do
        if [[ -n $candidate && -x $candidate/bin/nvcc && -r $candidate/include/cuda.h ]]; then
            cuda=$(readlink -f "$candidate")
            local version
            version=$(sed -n 's/^#define CUDA_VERSION \([0-9]*\)$/\1/p' "$cuda/include/cuda.h")
            if ((version >= 13000)); then
                return 0
            fi
            echo "The CUDA Toolkit in $cuda is too old ($version): cubar needs 13.0 or newer." >&2
        fi
    done
    cat >&2 <<'END'
cubar is built with NVIDIA's CUDA Toolkit 13: nvcc and cuda.h. It needs neither a GPU nor a driver.
  1. Choose Linux, x86_64, Debian 12 on https://developer.nvidia.com/cuda-downloads and follow the
     page up to "apt-get install cuda-toolkit-13-0".
  2. If it is not in /usr/local/cuda, say where: export CUDA_HOME=/path/to/cuda
END
    return 1
}

install_packages() {
    local missing=() package
    # For the tests with llama.cpp; often there already, and not from Debian.
    command -v npm >/dev/null || packages+=(npm)
    for package in "${packages[@]}"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
            missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    local as_root=()
    if ((EUID != 0)); then
        as_root=(sudo)
        if ! command -v sudo >/dev/null; then
            echo "These packages are missing; install them as root:" >&2
            echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
            return 1
        fi
    fi
    echo "Installing ${missing[*]}"
    "${as_root[@]}" apt-get update -q
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "${missing[@]}"
}

set_up() {
    find_toolkit && install_packages
}

# configure NAME [MESON-OPTIONS]: a build directory build/NAME, made once.
configure() {
    [[ -f build/$1/build.ninja ]] || meson setup "build/$1" "-Dcuda=$cuda" "${@:2}"
}

build() {
    configure "$@" && ninja -C "build/$1"
}
