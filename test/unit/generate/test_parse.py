# SPDX-License-Identifier: Apache-2.0
"""What the generator says about descriptions that break the rules: file, line and reason."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(os.environ['CUBAR_SOURCE'])
sys.path.insert(0, str(SOURCE / 'generate'))

from emit_host import dispatch_source  # noqa: E402
from layout import reply_layout, request_layout  # noqa: E402
from model import ApiError  # noqa: E402
from parse import parse_files  # noqa: E402

SYNC = 'since 1000; sync 0x001 inline;'


class Description(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def write(self, text, name='x.api'):
        path = Path(self.directory.name, name)
        path.write_text(text, encoding='utf-8')
        return path

    def parse(self, text):
        return parse_files([self.write('subject x;\n' + text)])

    def only(self, text):
        return self.parse(text).calls[0]


class Malformed(Description):
    def refuses(self, text, line, reason):
        with self.assertRaises(ApiError) as caught:
            self.parse(text)
        message = str(caught.exception)
        self.assertRegex(message, rf'x\.api:{line}: ')
        self.assertIn(reason, message)

    def test_places(self):
        for text, line, reason in [
            ('functoin f() { }', 2, "'function' or 'record'"),
            ('function f(', 2, 'a type and a name'),
            ('function f() {', 2, 'ends in the middle'),
            ('\nfunction f()\n', 3, 'ends in the middle'),
            ('function f() { since 1000; }', 2, 'no treatment'),
            ('function f() { later; }', 2, 'since which'),
            ('function f() { since 1000; later; local; }', 2, 'two clauses for treatment'),
            ('function f() { since 1000; since 2000; later; }', 2, 'two clauses for since'),
            ('function f() {\n since x; later; }', 3, 'a number is expected'),
            ('function f() {\n since 1000;\n soon; }', 4, "no clause 'soon'"),
            ('function f() { since 1000, _pt 2; later; }', 2, '_ptsz'),
            ('function f() { since 1000; refused now; }', 2, 'a text in quotes'),
            ('function f() { since 1000; sync 0x1000 inline; }', 2, 'not below 0x1000'),
            ('function f() { since 1000; sync 0 inline; }', 2, 'opcode 0'),
            ('function f() { since 1000; sync 1; }', 2, "'inline' or 'offload'"),
            ('function f(int) { since 1000; later; }', 2, 'a type and a name'),
            ('function f(out int x) { since 1000; later; }', 2, 'no pointer'),
            ('function f(out bytes[n] void *x) { ' + SYNC + ' }', 2, 'no parameter n'),
            ('function f(int *x) { ' + SYNC + ' }', 2, 'say in or out'),
            ('function f(string const char *x) { ' + SYNC + ' }', 2, 'bespoke request'),
            ('function f(in const CUthing *x) { ' + SYNC + ' }', 2, 'no struct CUthing'),
            ('function f(FILE x) { ' + SYNC + ' }', 2, 'no wire type'),
            ('function f() { ' + SYNC + ' request { u32 a; } }', 2, 'both its sides are bespoke'),
            ('function f() { since 1000; later; guest bespoke; }', 2, 'does not travel'),
            ('function f() { since 1000; async 1 inline; }', 2, 'one stream'),
            ('function f(CUstream s, out int *x) { since 1000; async 1 inline; }', 2, 'no reply'),
            ('record r { later; }', 2, 'sync or async'),
            ('record r { sync 1 inline; }', 2, 'needs a request'),
            ('record r {\n sync 1 inline;\n request {\n u33 a;\n} }', 5, "no field type 'u33'"),
            ('record r { sync 1 inline; request { u32 a; u32 a; } }', 2, 'two fields'),
            ('record r { sync 1 inline; request { use g; } }', 2, "no fields are called 'g'"),
            ('fields g { u8 a; }\nrecord r { sync 1 inline; request { u32 a; use g; } }', 3,
             "two fields 'a'"),
            ('record r { sync 1 inline; request { u32 a[0]; } }', 2, '0 elements'),
            ('record r { sync 1 inline; request { u32 a[5000]; } }', 2, '5000 elements'),
            ('record r { async 1 inline; request { } reply { u8 a; } }', 2, 'has no reply'),
            ('record a { sync 1 inline; request { } }\nrecord b { sync 1 inline; request { } }', 3,
             'opcode 0x1 is that of a'),
            ('function f() { since 1000; later; }\n\nfunction f() { since 1000; local; }', 4,
             'is described at'),
            ('function f() { since 1000, _ptsz 1000; later; }\n'
             'function f_ptsz() { since 1; later; }', 3, 'f_ptsz is described at'),
            ('function f() { since 1000; bespoke via g; }', 2, 'g, which does not travel'),
            ('function f() { since 1000; bespoke f; }', 2, "'via'"),
            ('function $() { since 1000; later; }', 2, "'$' does not belong"),
        ]:
            with self.subTest(text=text):
                self.refuses(text, line, reason)

    def test_no_subject(self):
        with self.assertRaisesRegex(ApiError, r"y\.api:1: 'subject' is expected, not 'function'"):
            parse_files([self.write('function f() { since 1000; later; }', 'y.api')])

    def test_empty_file(self):
        with self.assertRaisesRegex(ApiError, r'y\.api:1: the file ends'):
            parse_files([self.write('', 'y.api')])

    def test_reply_too_long(self):
        api = self.parse('record r { sync 1 inline; request { } reply { u64 a[513]; } }')
        with self.assertRaisesRegex(ApiError, r'x\.api:2: r: a reply of 4104 bytes is over 4096'):
            reply_layout(api, api.calls[0])

    def test_plain_host_side_makes_no_handles(self):
        api = self.parse('function f(out CUevent *e) { ' + SYNC + ' }')
        with self.assertRaisesRegex(ApiError, r'x\.api:2: f makes a event: .* bespoke'):
            dispatch_source(api)

    def test_command_line(self):
        path = self.write('subject x;\nfunction f() { since 1000; }')
        output = Path(self.directory.name, 'wire.h')
        program = SOURCE / 'generate/generate.py'
        run = subprocess.run([sys.executable, program, 'wire.h', output, path],
                             capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, 1)
        self.assertEqual(run.stderr, f'error: {path}:2: f has no treatment\n')
        self.assertFalse(output.exists())


class WellFormed(Description):
    def test_signature(self):
        call = self.only('# Says so.\nfunction f(out bytes[n] void *to, size_t n, const int **p)\n'
                         '{ since 1000, _ptsz 2000; local; }')
        self.assertEqual([(p.name, p.c_type, p.direction, p.length) for p in call.parameters],
                         [('to', 'void *', 'out', 'n'), ('n', 'size_t', 'value', ''),
                          ('p', 'const int **', '', '')])
        self.assertEqual(call.symbols, [('f', 1000, False), ('f_ptsz', 2000, True)])
        self.assertEqual(call.doc, ['Says so.'])

    def test_layout(self):
        api = self.parse('record r { sync 1 inline; request { u8 a; u32 b[2]; u16 c; event d; } '
                         'payload "more"; reply { f32 x; } }')
        slots, size = request_layout(api, api.calls[0])
        self.assertEqual([(s.field.name, s.offset, s.bytes) for s in slots],
                         [('a', 0, 1), ('padding1', 1, 3), ('b', 4, 8), ('c', 12, 2),
                          ('padding14', 14, 2), ('d', 16, 8), ('payload_bytes', 24, 4),
                          ('padding28', 28, 4)])
        self.assertEqual(size, 32)
        slots, size = reply_layout(api, api.calls[0])
        self.assertEqual([(s.field.name, s.offset) for s in slots], [('x', 0), ('padding4', 4)])
        self.assertEqual(size, 8)

    def test_shared_fields(self):
        call = self.parse('fields g { u8 a; u8 b; }\nrecord r { sync 1 inline; request { use g; } '
                          'reply { f32 c; use g; } }').calls[0]
        self.assertEqual([f.name for f in call.request], ['a', 'b'])
        self.assertEqual([f.name for f in call.reply], ['c', 'a', 'b'])

    def test_derived_fields(self):
        call = self.only('function f(CUstream s, CUevent e, CUdeviceptr p, CUdevice d, CUlimit l) '
                         '{ since 1000; async 1 inline; }')
        self.assertEqual([(f.name, f.kind) for f in call.request],
                         [('e', 'event'), ('p', 'u64'), ('d', 'device'), ('l', 'u32')])
        self.assertEqual(call.stream.name, 's')


if __name__ == '__main__':
    unittest.main()
