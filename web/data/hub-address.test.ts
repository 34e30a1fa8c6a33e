import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hubAddress } from './hub-address.ts'

test('no command uses the address that means all addresses of a machine', () => {
  for (const any of ['http://0.0.0.0:3000', 'http://[::]:3000'])
    assert.equal(hubAddress(any, '/x'), 'http://127.0.0.1:3000/x')
  for (const one of ['http://10.0.0.0:3000', 'https://hub.example']) assert.equal(hubAddress(one, ''), one)
})
