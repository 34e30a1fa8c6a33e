import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'

const src = join(import.meta.dirname, '../src')
const beginning = /\/\*\*[\s*]*(?:What|It)\b/g

/** Returns the doc comments that begin with "What" or "It", each as `file:line`. */
function withoutSubject(file: string, text: string): string[] {
  return [...text.matchAll(beginning)].map(
    ({ index }) => `${file}:${text.slice(0, index).split('\n').length}`,
  )
}

test('a doc comment without its subject is found, on one line and on several', () => {
  const text =
    '/** What it is. */\n/** Whether it is. */\n  /**\n   * It is.\n   */\n/** Its end. */\n// What'
  assert.deepEqual(withoutSubject('a.ts', text), ['a.ts:1', 'a.ts:3'])
})

test('every doc comment begins with its subject', () => {
  const files = globSync('**/*.ts', { cwd: src }).sort()
  assert.ok(files.length > 100)
  assert.deepEqual(
    files.flatMap((file) => withoutSubject(`src/${file}`, readFileSync(join(src, file), 'utf8'))),
    [],
  )
})
