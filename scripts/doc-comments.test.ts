import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'

const root = join(import.meta.dirname, '..')

/** Words that begin a fragment: a doc comment is a sentence about the thing, with a verb. */
const FRAGMENTS =
  'What|It|By|Of|Those|Its|As|So|For|In|All|One|Where|To|Undefined|How|The same|Nothing|Who|Whose|With|On|At|From|Also'
const beginning = new RegExp(`/\\*\\*[\\s*]*(?:${FRAGMENTS})\\b`, 'g')

/** Returns the doc comments that begin with a fragment, each as `file:line`. */
function withoutSubject(file: string, text: string): string[] {
  return [...text.matchAll(beginning)].map(
    ({ index }) => `${file}:${text.slice(0, index).split('\n').length}`,
  )
}

test('a doc comment without its subject is found, on one line or several', () => {
  const text =
    '/** What it is. */\n/** Returns it. */\n  /**\n   * Of a run.\n   */\n/** Item of a list. */\n// What'
  assert.deepEqual(withoutSubject('a.ts', text), ['a.ts:1', 'a.ts:3'])
})

test('every doc comment begins with its subject or its verb', () => {
  const files = globSync('{src,web,scripts,test,bench}/**/*.{ts,tsx}', { cwd: root })
    .filter((file) => file !== 'scripts/doc-comments.test.ts')
    .toSorted()
  assert.ok(files.length > 1000)
  assert.deepEqual(
    files.flatMap((file) => withoutSubject(file, readFileSync(join(root, file), 'utf8'))),
    [],
  )
})
