# SPDX-License-Identifier: Apache-2.0
"""A libcuda.so.1 in this process, for tests that ask it about kernels and launch none."""

import ctypes


class Driver:
    """Its calls, with the primary context of device 0 current. The environment is read here."""

    def __init__(self, library):
        self.cuda = ctypes.CDLL(library)
        self.call("cuInit", 0)
        context = ctypes.c_void_p()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
        self.call("cuCtxSetCurrent", context)

    def call(self, name, *arguments):
        """Raises where the call does not succeed."""
        code = getattr(self.cuda, name)(*arguments)
        if code != 0:
            raise RuntimeError(f"{name} returned {code}")
