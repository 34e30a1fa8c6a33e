import assert from 'node:assert/strict'
import test from 'node:test'
import { importsOf } from './imports.ts'
import { roomsTable } from './rooms.ts'
import { breaksOf, circleBreaks, circlesOf, twoWayPairs, withTable } from './walls.ts'

test('a forbidden import is found, whether static, dynamic, type-only or re-exported', () => {
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

test('a violation is reported with its line', () => {
  assert.equal(breaksOf('src/contract/x.ts', "import 'node:fs'\n\nimport '../engine/x.ts'")[0]!.line, 3)
})

test('a room may import its own files, packages, and what the table allows', () => {
  const text = "import './y.ts'\nimport '../contract/z.ts'\nimport 'zod'\nimport '../runner/ports.ts'"
  assert.deepEqual(breaksOf('src/actions/x.ts', text), [])
})

test('allowing one file of a room does not allow the others', () => {
  assert.equal(breaksOf('src/actions/x.ts', "import '../runner/attempts/x.ts'").length, 1)
})

test('an import from outside src and a folder that is not a room are violations', () => {
  assert.equal(breaksOf('src/engine/x.ts', "import '../../scripts/walls.ts'").length, 1)
  assert.equal(breaksOf('src/misc/x.ts', '').length, 1)
})

test('a room may be a folder of another, and a room may be allowed to import just a folder of one', () => {
  const known = {
    hub: { holds: '', may: ['engine/file'] },
    'hub/stores': { holds: '', may: [] },
    engine: { holds: '', may: [] },
  }
  const messages = (file: string, text: string) => breaksOf(file, text, known).map(({ message }) => message)
  const text = "import '../engine/file/a.ts'\nimport '../engine/files.ts'\nimport './stores/b.ts'"
  assert.deepEqual(messages('src/hub/x.ts', text), [
    'hub may not import src/engine/files.ts',
    'hub may not import src/hub/stores/b.ts',
  ])
  assert.deepEqual(messages('src/hub/stores/x.ts', "import './y.ts'\nimport '../z.ts'"), [
    'hub/stores may not import src/hub/z.ts',
  ])
})

test('imports are classified as value, type or dynamic', () => {
  const text = [
    "import { a, type B } from './value.ts'",
    "import { type A, type B } from './type.ts'",
    "import type { C } from './type.ts'",
    "export type { D } from './type.ts'",
    "export { e } from './value.ts'",
    "import './value.ts'",
    "const f = await import('./dynamic.ts')",
    "let g: import('./type.ts').G",
    "import {\n  type H,\n  i,\n} from './value.ts'",
  ].join('\n')
  for (const { target, kind } of importsOf('src/x.ts', text)) assert.equal(target, `src/${kind}.ts`)
  assert.equal(importsOf('src/x.ts', text).length, 9)
})

const files = (texts: Record<string, string>) =>
  new Map(Object.entries(texts).map(([file, text]) => [file, importsOf(file, text)]))

test('mutual imports of two folders are found in subfolders too, except types and a folder inside the other', () => {
  const texts = {
    'src/r/a/deep/x.ts': "import '../../b/y.ts'\nimport '../../b/z.ts'",
    'src/r/b/y.ts': "import('../a/other.ts')",
    'src/r/b/z.ts': "import type { A } from '../c/w.ts'",
    'src/r/c/w.ts': "import '../b/z.ts'\nimport '../v.ts'",
    'src/r/v.ts': "import './c/w.ts'",
  }
  const where = ({ file, line, message }: { file: string; line: number; message: string }) =>
    `${file}:${line} ${message}`
  assert.deepEqual(twoWayPairs(files(texts), []).map(where), [
    'src/r/b/y.ts:1 imports src/r/a/other.ts, and src/r/a imports src/r/b',
  ])
  assert.deepEqual(twoWayPairs(files(texts), [{ folders: ['src/r/b', 'src/r/a'], why: '' }]), [])
  assert.match(
    twoWayPairs(files({}), [{ folders: ['src/r/b', 'src/r/a'], why: '' }])[0]!.message,
    /src\/r\/a src\/r\/b no longer import each other/,
  )
})

test('an import cycle of files is found with its path, but not one of types or dynamic imports', () => {
  const texts = {
    'src/a.ts': "import './b.ts'",
    'src/b.ts': "import { c } from './c.ts'",
    'src/c.ts': "export * from './a.ts'",
    'src/d.ts': "import type { E } from './e.ts'",
    'src/e.ts': "import './d.ts'\nconst f = import('./f.ts')",
    'src/f.ts': "import './e.ts'\nimport './a.ts'",
  }
  const circle = ['src/a.ts', 'src/b.ts', 'src/c.ts']
  assert.deepEqual(circlesOf(files(texts)), [circle])
  assert.match(circleBreaks(files(texts), [])[0]!.message, /src\/a.ts > src\/b.ts > src\/c.ts > src\/a.ts/)
  assert.deepEqual(circleBreaks(files(texts), [{ files: circle, why: '' }]), [])
  assert.match(circleBreaks(files({}), [{ files: circle, why: '' }])[0]!.message, /is gone/)
})

test('a table is inserted at its place in a page, and a missing place is reported', () => {
  const right = withTable('# A\n<!-- rooms -->\nold\n<!-- /rooms -->\nend\n', 'rooms', roomsTable())
  assert.deepEqual(right, { text: `# A\n<!-- rooms -->\n${roomsTable()}\n<!-- /rooms -->\nend\n` })
  assert.ok('message' in withTable('# A', 'rooms', ''))
})
