import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { type Duration, Durations } from './test-durations.ts'

/** Creates a checkout, and a cache folder without the file. */
function places(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'errand-durations-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const cache = join(folder, 'home/.cache/errand-test/durations.json')
  const write = (path: string, value: unknown) => {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, typeof value === 'string' ? value : JSON.stringify(value))
  }
  return {
    cache,
    writeCache: (value: unknown) => write(cache, value),
    writeCheckedIn: (value: unknown) => write(join(folder, 'scripts/test-durations.json'), value),
    open: () => new Durations(folder, cache),
  }
}

const record = (files: unknown, also: object = {}) => ({ version: 1, ...also, files })
const all = () => true

test('each variant has its own duration, and the usual one is used for unknown variants', (t) => {
  const { open } = places(t)
  const durations = open()
  assert.equal(durations.of('a', 'usual'), undefined)
  durations.record('a', 'usual', { wallMs: 100, cpuMs: 50 })
  durations.record('a', 'large', { wallMs: 900 })
  durations.record('b', 'skipping', { wallMs: 10, cpuMs: 5 })
  durations.save(all)
  for (const one of [durations, open()]) {
    assert.deepEqual(one.of('a', 'usual'), { wallMs: 100, cpuMs: 50 })
    assert.deepEqual(one.of('a', 'large'), { wallMs: 900 })
    assert.deepEqual(one.of('a', 'skipping'), { wallMs: 100, cpuMs: 50 })
    assert.deepEqual(one.of('b', 'skipping'), { wallMs: 10, cpuMs: 5 })
    assert.equal(one.of('b', 'usual'), undefined)
    assert.equal(one.of('b', 'large'), undefined)
  }
})

test('a longer time for about the same processor time, as on a busy machine, is not recorded', (t) => {
  const durations = places(t).open()
  const after = (before: Duration, measured: Duration) => {
    durations.record('a', 'usual', before)
    durations.record('a', 'usual', measured)
    return durations.of('a', 'usual')
  }
  const quiet = { wallMs: 100, cpuMs: 50 }
  assert.deepEqual(after(quiet, { wallMs: 500, cpuMs: 70 }), quiet)
  const more = { wallMs: 500, cpuMs: 200 }
  assert.deepEqual(after(quiet, more), more)
  const faster = { wallMs: 90, cpuMs: 48 }
  assert.deepEqual(after(quiet, faster), faster)
  const unknown = { wallMs: 900 }
  assert.deepEqual(after(unknown, unknown), unknown)
})

test('durations measured on this machine precede the checked-in ones, variant by variant', (t) => {
  const { open, writeCache, writeCheckedIn } = places(t)
  writeCheckedIn(record({ a: { usual: [100, 50], large: [900, 800] }, b: { usual: [7] } }))
  writeCache(record({ a: { usual: [200, 60] }, c: { usual: [8] } }))
  const durations = open()
  assert.deepEqual(durations.of('a', 'usual'), { wallMs: 200, cpuMs: 60 })
  assert.deepEqual(durations.of('a', 'large'), { wallMs: 900, cpuMs: 800 })
  assert.deepEqual(durations.of('b', 'usual'), { wallMs: 7 })
  assert.deepEqual(durations.of('c', 'usual'), { wallMs: 8 })
})

const whole = JSON.stringify(record({ a: { usual: [100, 50] } }, { last_passed: 'abc' }))
const unusable: Record<string, unknown> = {
  'is cut off': whole.slice(0, -5),
  'is empty': '',
  'is not JSON': 'durations',
  'is null': null,
  'is a list': [1],
  'has no files': { version: 1, last_passed: 'abc' },
  'has null for files': record(null, { last_passed: 'abc' }),
  'is of another version': { ...JSON.parse(whole), version: 2 },
  'has no version': { files: { a: { usual: [100, 50] } }, last_passed: 'abc' },
}
for (const [what, text] of Object.entries(unusable))
  test(`a record that ${what} counts as empty and is replaced`, (t) => {
    const { cache, open, writeCache } = places(t)
    writeCache(text)
    const durations = open()
    assert.equal(durations.of('a', 'usual'), undefined)
    assert.equal(durations.lastPassed, undefined)
    durations.record('b', 'usual', { wallMs: 3 })
    durations.save(all)
    assert.deepEqual(JSON.parse(readFileSync(cache, 'utf8')), record({ b: { usual: [3] } }))
  })

test("a damaged checked-in record does not hide this machine's measurements", (t) => {
  const { open, writeCache, writeCheckedIn } = places(t)
  writeCheckedIn(whole.slice(0, -5))
  writeCache(record({ a: { usual: [200] } }))
  assert.deepEqual(open().of('a', 'usual'), { wallMs: 200 })
})

test('an entry with impossible figures is ignored, and the others are used', (t) => {
  const { open, writeCache, writeCheckedIn } = places(t)
  const wrong = {
    negative: [-1, 5],
    'negative processor time': [5, -1],
    // JSON converts NaN to null.
    'not a number': [Number.NaN, 5],
    'no processor time': [5, Number.NaN],
    text: ['5', 5],
    empty: [],
    number: 5,
    object: { wallMs: 5 },
    nothing: null,
  }
  const entries = Object.entries(wrong).map(([name, usual]) => [name, { usual, large: [9, 8] }])
  const odd = { 'null entry': null, 'text entry': 'usual', 'number entry': 5 }
  writeCache(record({ ...Object.fromEntries(entries), ...odd, good: { usual: [1, 2] } }))
  writeCheckedIn(record({ negative: { usual: [4, 3] } }))
  const durations = open()
  for (const name of Object.keys(wrong)) {
    if (name !== 'negative') assert.equal(durations.of(name, 'usual'), undefined, name)
    assert.deepEqual(durations.of(name, 'large'), { wallMs: 9, cpuMs: 8 }, name)
  }
  for (const name of Object.keys(odd)) assert.equal(durations.of(name, 'usual'), undefined, name)
  assert.deepEqual(durations.of('good', 'usual'), { wallMs: 1, cpuMs: 2 })
  assert.deepEqual(durations.of('negative', 'usual'), { wallMs: 4, cpuMs: 3 })
})

test('a number too large for JSON is ignored', (t) => {
  const { open, writeCache } = places(t)
  writeCache('{"version":1,"files":{"a":{"usual":[1e999,5]},"b":{"usual":[1]}}}')
  assert.equal(open().of('a', 'usual'), undefined)
  assert.deepEqual(open().of('b', 'usual'), { wallMs: 1 })
})

test('saving keeps what another run saved in the meantime', (t) => {
  const { open } = places(t)
  const [one, other] = [open(), open()]
  one.record('a', 'usual', { wallMs: 1 })
  one.record('both', 'usual', { wallMs: 2 })
  one.record('both', 'large', { wallMs: 3 })
  one.save(all)
  other.record('b', 'usual', { wallMs: 4 })
  other.record('both', 'usual', { wallMs: 5 })
  other.save(all)
  const read = open()
  assert.deepEqual(read.of('a', 'usual'), { wallMs: 1 })
  assert.deepEqual(read.of('b', 'usual'), { wallMs: 4 })
  assert.deepEqual(read.of('both', 'usual'), { wallMs: 5 })
  assert.deepEqual(read.of('both', 'large'), { wallMs: 3 })
})

test('a duration that a run only read does not undo a newer one from another run', (t) => {
  const { open, writeCache } = places(t)
  writeCache(record({ a: { usual: [1] } }))
  const [one, other] = [open(), open()]
  one.record('a', 'usual', { wallMs: 2 })
  one.save(all)
  other.record('b', 'usual', { wallMs: 3 })
  other.save(all)
  assert.deepEqual(open().of('a', 'usual'), { wallMs: 2 })
})

test('missing files are dropped, even one of this run', (t) => {
  const { cache, open, writeCache } = places(t)
  writeCache(record({ gone: { usual: [1] }, here: { usual: [2] } }))
  const durations = open()
  durations.record('gone now', 'usual', { wallMs: 3 })
  durations.save((file) => file === 'here')
  assert.deepEqual(JSON.parse(readFileSync(cache, 'utf8')), record({ here: { usual: [2] } }))
})

test('only durations measured here are saved, in whole milliseconds, sorted by file, with no other file left', (t) => {
  const { cache, open, writeCheckedIn } = places(t)
  writeCheckedIn(record({ a: { usual: [1] } }))
  const durations = open()
  durations.record('c', 'usual', { wallMs: 10.6, cpuMs: 4.4 })
  durations.record('b', 'large', { wallMs: 1 })
  assert.equal(existsSync(dirname(cache)), false)
  durations.save(all)
  const text = '{"version":1,"files":{\n"b": {"large":[1]},\n"c": {"usual":[11,4]}\n}}\n'
  assert.equal(readFileSync(cache, 'utf8'), text)
  assert.deepEqual(readdirSync(dirname(cache)), ['durations.json'])
})

test("the last passed commit is this machine's, and a run that does not change it keeps it", (t) => {
  const { open, writeCheckedIn } = places(t)
  writeCheckedIn(record({}, { last_passed: 'elsewhere' }))
  assert.equal(open().lastPassed, undefined)
  const green = open()
  green.lastPassed = 'abc'
  green.save(all)
  assert.equal(open().lastPassed, 'abc')
  const red = open()
  red.record('a', 'usual', { wallMs: 1 })
  red.save(all)
  assert.equal(open().lastPassed, 'abc')
  assert.deepEqual(open().of('a', 'usual'), { wallMs: 1 })
})

test('a run that has not passed keeps the commit that another run recorded in the meantime', (t) => {
  const { open } = places(t)
  const [red, green] = [open(), open()]
  green.lastPassed = 'abc'
  green.save(all)
  red.save(all)
  assert.equal(open().lastPassed, 'abc')
})
