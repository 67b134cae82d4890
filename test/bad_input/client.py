# SPDX-License-Identifier: Apache-2.0
"""A CUDA process that the suite steers, straight on the driver API: it obeys lines of stdin and
answers each with one line of JSON, {"error": NAME, "seconds": …} and what the command adds.

  begin                cuInit and a context
  alloc BYTES          device memory, kept; `free`: what cuMemGetInfo says then
  pin BYTES            page-locked memory, kept
  release              frees both kinds
  load FILE            cuModuleLoadDataEx; `log`: the JIT's error log
  function NAME        cuModuleGetFunction of the module loaded last
  compute              runs `fill` of that module and checks what it wrote; `right`
  hang                 launches a kernel that does not end and waits for it
"""
import ctypes
import json
import mmap
import sys
import time

JIT_ERROR_LOG_BUFFER, JIT_ERROR_LOG_BUFFER_SIZE = 5, 6
cuda = ctypes.CDLL("libcuda.so.1")


class CudaError(Exception):
    pass


def name_of(result):
    text = ctypes.c_char_p()
    return text.value.decode() if cuda.cuGetErrorName(result, ctypes.byref(text)) == 0 else str(result)


def check(result):
    if result != 0:
        raise CudaError(name_of(result))


class Guarded:
    """Bytes at the very end of a page, after which nothing is mapped: they end where they end."""

    PAGE = 4096

    def __init__(self, data):
        pages = -(-len(data) // self.PAGE)
        self.map = mmap.mmap(-1, (pages + 1) * self.PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        offset = pages * self.PAGE - len(data)
        self.map[offset:offset + len(data)] = data
        self.address = ctypes.c_void_p(start + offset)
        libc = ctypes.CDLL(None)
        libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
        libc.munmap(start + pages * self.PAGE, self.PAGE)


class Client:
    def __init__(self):
        self.device_memory = []
        self.pinned_memory = []
        self.module = ctypes.c_void_p()

    def begin(self):
        check(cuda.cuInit(0))
        context = ctypes.c_void_p()
        check(cuda.cuCtxCreate_v2(ctypes.byref(context), 0, 0))

    def allocate(self, size):
        memory = ctypes.c_uint64()
        check(cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(size)))
        return memory

    def alloc(self, size):
        self.device_memory.append(self.allocate(int(size)))
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        check(cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)))
        return {"free": free.value}

    def pin(self, size):
        memory = ctypes.c_void_p()
        check(cuda.cuMemHostAlloc(ctypes.byref(memory), ctypes.c_size_t(int(size)), 0))
        self.pinned_memory.append(memory)

    def release(self):
        while self.device_memory:
            check(cuda.cuMemFree_v2(self.device_memory.pop()))
        while self.pinned_memory:
            check(cuda.cuMemFreeHost(self.pinned_memory.pop()))

    def load(self, path):
        with open(path, "rb") as file:
            image = Guarded(file.read())
        log = ctypes.create_string_buffer(4096)
        options = (ctypes.c_int * 2)(JIT_ERROR_LOG_BUFFER, JIT_ERROR_LOG_BUFFER_SIZE)
        values = (ctypes.c_void_p * 2)(ctypes.addressof(log), len(log))
        result = cuda.cuModuleLoadDataEx(ctypes.byref(self.module), image.address, 2, options, values)
        return {"error": name_of(result), "log": log.value.decode(errors="replace")}

    def function(self, name):
        function = ctypes.c_void_p()
        check(cuda.cuModuleGetFunction(ctypes.byref(function), self.module, name.encode()))
        return function

    def launch(self, name, *arguments):
        pointers = (ctypes.c_void_p * len(arguments))(*map(ctypes.addressof, arguments))
        check(cuda.cuLaunchKernel(self.function(name), 1, 1, 1, 64, 1, 1, 0, None, pointers, None))

    def compute(self):
        memory = self.allocate(256)
        self.launch("fill", memory, ctypes.c_uint(7), ctypes.c_uint(64))
        words = (ctypes.c_uint * 64)()
        check(cuda.cuMemcpyDtoH_v2(words, memory, ctypes.c_size_t(256)))
        check(cuda.cuMemFree_v2(memory))
        return {"right": list(words) == [7] * 64}

    def hang(self):
        memory = self.allocate(4)
        check(cuda.cuMemsetD32_v2(memory, 0, ctypes.c_size_t(1)))
        self.launch("hang", memory)
        print(json.dumps({"hangs": True}), flush=True)
        check(cuda.cuCtxSynchronize())

    def obey(self, command, *arguments):
        begin = time.monotonic()
        answer = {"error": "CUDA_SUCCESS"}
        try:
            more = getattr(self, command)(*arguments)
            answer |= more if isinstance(more, dict) else {}
        except CudaError as error:
            answer["error"] = str(error)
        return answer | {"seconds": time.monotonic() - begin}


def main():
    client = Client()
    for line in sys.stdin:
        print(json.dumps(client.obey(*line.split())), flush=True)


if __name__ == "__main__":
    main()
