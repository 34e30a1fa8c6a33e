import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { loadProgram } from './v8-code-cache.ts'

const require = createRequire(import.meta.url)

function folders(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'errand-code-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'program.cjs')
  const cache = join(folder, 'a/cache')
  const write = (id: string, answer: string) =>
    writeFileSync(
      file,
      `// ${id}
(function (exports, require, module, __filename, __dirname) {
  exports.place = __filename
  exports.main = () => require('node:path').join('${answer}', 'x')
})`,
    )
  const load = () => {
    const program = loadProgram(file, cache, require)
    return { ...program, ...(program.exports as { main(): string; place: string }) }
  }
  /** Runs the program in its own process: within one process, V8 remembers what it has compiled. */
  const start = () => {
    const code = `import { createRequire } from 'node:module'
      import { loadProgram } from ${JSON.stringify(join(import.meta.dirname, 'v8-code-cache.ts'))}
      const { exports, keep } = loadProgram(${JSON.stringify(file)}, ${JSON.stringify(cache)}, createRequire('/'))
      process.stdout.write(exports.main())
      keep()`
    return execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' })
  }
  return { file, cache, write, load, start }
}

test('a program runs, and its code is stored for the next start', (t) => {
  const { file, cache, write, load } = folders(t)
  write('one', 'a')
  const first = load()
  assert.equal(first.main(), 'a/x')
  assert.equal(first.place, file)
  first.keep()
  const [name] = readdirSync(cache)
  assert.match(name!, /^one-v\d+.*\.code$/)
  const stored = readFileSync(join(cache, name!))

  const second = load()
  assert.equal(second.main(), 'a/x')
  second.keep()
  assert.deepEqual(readFileSync(join(cache, name!)), stored)
})

test('different content of the same length is another program', (t) => {
  const { cache, write, load } = folders(t)
  write('one', 'a')
  load().keep()
  write('two', 'b')
  const other = load()
  assert.equal(other.main(), 'b/x')
  other.keep()
  assert.equal(readdirSync(cache).length, 2)
})

test('truncated code is not used, and is stored again', (t) => {
  const { cache, write, start } = folders(t)
  write('one', 'a')
  assert.equal(start(), 'a/x')
  const path = join(cache, readdirSync(cache)[0]!)
  const whole = readFileSync(path)
  for (const length of [0, 10, Math.floor(whole.length / 2), whole.length - 64]) {
    writeFileSync(path, whole.subarray(0, length))
    assert.equal(start(), 'a/x')
    assert.ok(readFileSync(path).length > length, `${length} of ${whole.length} bytes`)
  }
})

test('a program also runs if its code cannot be stored', (t) => {
  const { cache, write, load } = folders(t)
  write('one', 'a')
  mkdirSync(join(cache, '..'))
  writeFileSync(cache, 'a file, not a folder')
  const program = load()
  assert.equal(program.main(), 'a/x')
  program.keep()
  assert.equal(readFileSync(cache, 'utf8'), 'a file, not a folder')
})

test('code stored long ago is removed when other code is stored', (t) => {
  const { cache, write, load } = folders(t)
  mkdirSync(cache, { recursive: true })
  for (const name of ['old.code', 'of-another-program']) {
    writeFileSync(join(cache, name), '')
    utimesSync(join(cache, name), 1, 1)
  }
  write('one', 'a')
  load().keep()
  const left = readdirSync(cache).sort()
  assert.deepEqual(
    left.map((name) => name.replace(/-v.*/, '')),
    ['of-another-program', 'one'],
  )
})
