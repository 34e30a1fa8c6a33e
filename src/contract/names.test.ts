import assert from 'node:assert/strict'
import test from 'node:test'
import { VarName } from './names.ts'

test('a name that JavaScript would lose is refused, others that it knows are names like any', () => {
  for (const name of ['A', '_', 'constructor', 'prototype', 'toString', '__proto', '__proto__2'])
    assert.equal(VarName.safeParse(name).success, true, name)
  for (const name of ['__proto__', '', '1A', 'A-B', 'A\n', 'A'.repeat(129)])
    assert.match(VarName.safeParse(name).error!.issues[0]!.message, /not "__proto__"/, name)
})
