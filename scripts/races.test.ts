import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'

const root = join(import.meta.dirname, '..')
const HELPER = 'src/platform/races.ts'

/** Returns the calls of `Promise.race`, each as `file:line`. */
function racesIn(file: string, text: string): string[] {
  return text
    .split('\n')
    .flatMap((line, at) => (/\bPromise\s*\.race\b/.test(line) ? [`${file}:${at + 1}`] : []))
}

test('a race is found with its line, called or not', () => {
  assert.deepEqual(racesIn('a.ts', 'const a = 1\nawait Promise.race([a, b])\nconst race = Promise.race\n'), [
    'a.ts:2',
    'a.ts:3',
  ])
})

test('src uses Promise.race only in the helper that handles the losers', () => {
  const files = globSync('src/**/*.ts', { cwd: root }).filter((file) => !file.endsWith('.test.ts'))
  assert.ok(files.includes(HELPER))
  const found = files
    .filter((file) => file !== HELPER)
    .flatMap((file) => racesIn(file, readFileSync(join(root, file), 'utf8')))
  assert.deepEqual(found, [], `use within, unlessAborted or firstOf of ${HELPER}`)
})
