import assert from 'node:assert/strict'
import test from 'node:test'
import { grainBreaks, MOST_FILES, MOST_LINES, SHORT_LINES, type Source } from './grain.ts'
import { importsOf } from './imports.ts'

function breaks(values: Record<string, Partial<Source>>, allowed: { where: string; why: string }[] = []) {
  const sources = new Map(
    Object.entries(values).map(([file, { text = '', tested = false }]) => [file, { text, tested }]),
  )
  const files = new Map([...sources].map(([file, { text }]) => [file, importsOf(file, text)]))
  return grainBreaks(sources, files, allowed).map(({ file, message }) => `${file}: ${message}`)
}

const uses = (name: string) => ({ text: `import { a } from './${name}.ts'\n` })

test('a short file that only its neighbour imports is reported, with the neighbour', () => {
  const [only, ...more] = breaks({ 'src/a/whole.ts': uses('part'), 'src/a/part.ts': {} })
  assert.match(only!, /^src\/a\/part\.ts: only whole\.ts imports it/)
  assert.deepEqual(more, [])
})

test('a file with a test, two importers, an importer elsewhere or some length may be separate', () => {
  const long = { text: 'x\n'.repeat(SHORT_LINES + 1) }
  const apart: Record<string, Partial<Source>>[] = [
    { 'src/a/whole.ts': uses('part'), 'src/a/part.ts': { tested: true } },
    { 'src/a/whole.ts': uses('part'), 'src/a/other.ts': uses('part'), 'src/a/part.ts': {} },
    { 'src/b/whole.ts': { text: "import { a } from '../a/part.ts'\n" }, 'src/a/part.ts': {} },
    { 'src/a/whole.ts': uses('part'), 'src/a/part.ts': long },
  ]
  for (const files of apart) assert.deepEqual(breaks(files), [])
})

test('a file or folder that is separate for a reason is allowed while it exists', () => {
  const files = { 'src/a/whole.ts': uses('part'), 'src/a/part.ts': {} }
  for (const where of ['src/a', 'src/a/part.ts']) assert.deepEqual(breaks(files, [{ where, why: 'so' }]), [])
  assert.match(breaks({}, [{ where: 'src/a', why: 'so' }])[0]!, /remove it from smallApart/)
})

test('a file with too many lines and a folder with too many files are reported', () => {
  assert.match(
    breaks({ 'src/a/x.ts': { text: 'x\n'.repeat(MOST_LINES + 1) } })[0]!,
    /501 lines, more than 500/,
  )
  const many = Object.fromEntries(Array.from({ length: MOST_FILES + 1 }, (_, at) => [`src/a/${at}.ts`, {}]))
  assert.match(breaks(many)[0]!, /^src\/a: 26 files are in one folder, more than 25/)
})
