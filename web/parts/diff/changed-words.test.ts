import assert from 'node:assert/strict'
import test from 'node:test'
import { changedWords, pairsOf } from './changed-words.ts'
import { parseDiff } from './parse-diff.ts'

test('changed words are marked in lines that have something in common', () => {
  const marked = (parts: { text: string; changed: boolean }[]) =>
    parts.map(({ text, changed }) => (changed ? `[${text}]` : text)).join('')
  const [before, after] = changedWords('return {rows, encode(next)}', 'return {rows, encode(next, filter)}')!
  assert.deepEqual(
    [marked(before), marked(after)],
    ['return {rows, encode(next)}', 'return {rows, encode(next[, filter])}'],
  )
  assert.equal(changedWords('const a = 1', 'throw new Error("x")'), undefined)
  assert.equal(changedWords('a '.repeat(500), 'a '.repeat(500)), undefined)
  const [file] = parseDiff('diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1,3 +1,2 @@\n-one\n-two\n+One\n same\n')
  const { lines } = file!.hunks[0]!
  const pairs = pairsOf(file!.hunks[0]!)
  assert.deepEqual([pairs.get(lines[0]!)?.text, pairs.get(lines[1]!), pairs.size], ['One', undefined, 2])
})
