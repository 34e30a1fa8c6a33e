import assert from 'node:assert/strict'
import { test } from 'node:test'
import { containerNote } from './up.ts'

test("a hub on a container's loopback address says how to reach it, with its port", () => {
  const inside = [import.meta.filename]
  assert.match(containerNote('http://127.0.0.1:8080', inside)!, /ERRAND_ADDR as deploy\/compose\.yaml does\./)
  assert.match(containerNote('http://[::1]:3000', inside)!, /ERRAND_ADDR as deploy\/compose\.yaml does\./)
  assert.equal(containerNote('http://0.0.0.0:3000', inside), undefined)
  assert.equal(containerNote('http://127.0.0.1:3000', ['/no/such/mark']), undefined)
})
