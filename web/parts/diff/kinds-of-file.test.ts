import assert from 'node:assert/strict'
import test from 'node:test'
import { fingerprint, foldedWhy, kindOfPath } from './kinds-of-file.ts'
import { parseDiff } from './parse-diff.ts'

test('tests, CI and hooks are listed separately, and generated files are folded', () => {
  const kinds = [
    'src/a.ts',
    'src/a.test.ts',
    'test/x/a.py',
    '.github/workflows/ci.yml',
    '.husky/pre-commit',
    'web/package-lock.json',
    'docs/CODEOWNERS',
    'contest.ts',
  ].map(kindOfPath)
  assert.deepEqual(kinds, ['code', 'test', 'test', 'ci', 'hook', 'made', 'owners', 'code'])
  const [file] = parseDiff('diff --git a/go.sum b/go.sum\n--- a/go.sum\n+++ b/go.sum\n@@ -1 +1 @@\n-a\n+b\n')
  assert.match(foldedWhy(file!)!, /^Generated file: 2 lines/)
  assert.notEqual(fingerprint(file!), fingerprint({ ...file!, path: 'go.mod' }))
})
