import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'

const root = join(import.meta.dirname, '..')
/** Code that waits for a time: a promise of a timer, or a program that sleeps for a part of a second. */
const SLEEPS =
  /\bawait (?:\w+\.)?(?:sleep|delay)\(|=> setTimeout\(\w+, |\b(?:sleep|delay)\([^)]*\)\.then\(|time\.sleep\(0/
/** A loop that counts its rounds waits for no condition. */
const LOOP = /\bwhile \(|^\s*do \{|\bfor \(;|\bfor \(.*; await |\bfor \(.*; \) \{/
const REASON = /\/\/ Sleeps: \S/

/** Lines that wait for a time without saying why. The body of a loop is none: a loop waits for its condition. */
function unexplainedSleeps(text: string): number[] {
  const lines = text.split('\n')
  const indent = (line: string) => line.length - line.trimStart().length
  return lines.flatMap((line, index) => {
    if (!SLEEPS.test(line) || LOOP.test(line)) return []
    const outer =
      lines.slice(0, index).findLast((one) => one.trim() !== '' && indent(one) < indent(line)) ?? ''
    const isExplained = [line, lines[index - 1] ?? ''].some((one) => REASON.test(one))
    return LOOP.test(outer) || isExplained ? [] : [index + 1]
  })
}

test('a test waits for a condition, or a line says why it must sleep', () => {
  const files = globSync(['{src,web,scripts,bench}/**/*.test.{ts,tsx}', 'test/**/*.ts'], { cwd: root })
  const found = files
    .filter((file) => file !== 'scripts/test-sleeps.test.ts')
    .flatMap((file) =>
      unexplainedSleeps(readFileSync(join(root, file), 'utf8')).map((line) => `${file}:${line}`),
    )
  assert.deepEqual(found, [], 'wait for a condition (eventually), or write "// Sleeps: why" above the line')
})

test('every kind of sleep is found, except in a while loop', () => {
  const found = (text: string) => unexplainedSleeps(text)
  assert.deepEqual(found('await sleep(20)'), [1])
  assert.deepEqual(found('await new Promise((resolve) => setTimeout(resolve, 5))'), [1])
  assert.deepEqual(found('const later = sleep(5).then(kill)'), [1])
  assert.deepEqual(found('// Sleeps: the hub must not answer meanwhile\nawait sleep(20)'), [])
  assert.deepEqual(found('while (!ended) await sleep(20)'), [])
  assert.deepEqual(found('while (!ended) {\n  look()\n  await sleep(20)\n}'), [])
  assert.deepEqual(found('for (let round = 0; round < 3; round++) {\n  await sleep(20)\n}'), [2])
  assert.deepEqual(found('if (ended) {\n  await sleep(20)\n}'), [2])
})
