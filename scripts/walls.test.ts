import assert from 'node:assert/strict'
import test from 'node:test'
import { roomsTable } from './rooms.ts'
import { architecture, breaksOf } from './walls.ts'

test('a forbidden import is found, whether static, dynamic, type-only or passed on', () => {
  for (const text of [
    "import { a } from '../hub/a.ts'",
    "import type { A } from '../hub/a.ts'",
    "const a = await import('../hub/a.ts')",
    'export * from "../hub/a.ts"',
    "import '../hub/a.ts'",
    "let a: import('../hub/a.ts').A",
    "import {\n  a,\n} from '../hub/a.ts'",
  ]) {
    assert.deepEqual(
      breaksOf('src/engine/x.ts', text).map((one) => one.message),
      ['engine may not import src/hub/a.ts'],
      text,
    )
  }
})

test('a break is told with its line', () => {
  assert.equal(breaksOf('src/contract/x.ts', "import 'node:fs'\n\nimport '../engine/x.ts'")[0]!.line, 3)
})

test('a room may import its own files, packages, and what the table says', () => {
  const text = "import './y.ts'\nimport '../contract/z.ts'\nimport 'zod'\nimport '../runner/ports.ts'"
  assert.deepEqual(breaksOf('src/actions/x.ts', text), [])
})

test('one file of a room being allowed does not allow the others', () => {
  assert.equal(breaksOf('src/actions/x.ts', "import '../runner/attempts/x.ts'").length, 1)
})

test('what leaves src, and a folder that is no room, are breaks', () => {
  assert.equal(breaksOf('src/engine/x.ts', "import '../../scripts/walls.ts'").length, 1)
  assert.equal(breaksOf('src/misc/x.ts', '').length, 1)
})

test('the table in ARCHITECTURE.md is replaced, and its absence told', () => {
  const right = architecture('# A\n<!-- rooms -->\nold\n<!-- /rooms -->\nend\n')
  assert.deepEqual(right, { text: `# A\n<!-- rooms -->\n${roomsTable()}\n<!-- /rooms -->\nend\n` })
  assert.ok('message' in architecture('# A'))
})
