import assert from 'node:assert/strict'
import { test } from 'node:test'
import { titleWith } from './attention.ts'

test('the title starts with the number of items that need the person, once', () => {
  assert.equal(titleWith(3, 'Runs · Errand'), '(3) Runs · Errand')
  assert.equal(titleWith(2, '(3) (1) Runs · Errand'), '(2) Runs · Errand')
  assert.equal(titleWith(0, '(3) Runs · Errand'), 'Runs · Errand')
  assert.equal(titleWith(0, '(a) b'), '(a) b')
})
