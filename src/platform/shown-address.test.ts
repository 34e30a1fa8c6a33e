import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isAnyAddress, shownElsewhere, shownHere } from './shown-address.ts'

const lo = { address: '127.0.0.1', family: 'IPv4', internal: true }
const lan = { address: '192.168.1.7', family: 'IPv4', internal: false }
const v6 = { address: 'fe80::1', family: 'IPv6', internal: false }
const of = (...all: object[]) => (() => ({ lo: all.slice(0, 1), eth0: all.slice(1) })) as never

test('a server that listens on all addresses is shown with one that can be opened', () => {
  for (const url of ['http://0.0.0.0:3000', 'http://[::]:3000']) {
    assert.equal(shownHere(url), 'http://127.0.0.1:3000')
    assert.equal(shownElsewhere(url, of(lo, v6, lan)), 'http://192.168.1.7:3000')
    assert.equal(shownElsewhere(url, of(lo)), 'http://127.0.0.1:3000')
  }
  for (const url of ['http://10.0.0.0:3000/x', 'http://[::1]:3000', 'https://hub.example/0.0.0.0']) {
    assert.equal(shownHere(url), url)
    assert.equal(shownElsewhere(url, of(lo, lan)), url)
  }
  assert.deepEqual(['0.0.0.0', '::', '[::]', '::1', '10.0.0.0'].map(isAnyAddress), [
    true,
    true,
    true,
    false,
    false,
  ])
})
