import assert from 'node:assert/strict'
import { test } from 'node:test'
import { didYouMean, nearest } from './did-you-mean.ts'

test('recognizes a typo of one or two letters', () => {
  assert.equal(nearest('target', ['name', 'targets', 'args']), 'targets')
  assert.equal(nearest('acton', ['args', 'action']), 'action')
  assert.equal(nearest('nmae', ['name']), 'name')
  assert.equal(nearest('NAME', ['name']), 'name')
  assert.equal(nearest('timeout_second', ['timeout_seconds']), 'timeout_seconds')
})

test('does not suggest a different word', () => {
  assert.equal(nearest('x', ['y']), undefined)
  assert.equal(nearest('banana', ['name', 'args']), undefined)
  assert.equal(didYouMean('banana', ['name'], 'look again'), 'look again')
})
