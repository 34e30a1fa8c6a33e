import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSheltered, linkUrl } from './link-url.ts'

test('http becomes ws, https becomes wss, and a base path stays', () => {
  assert.equal(linkUrl('http://hub:3000').href, 'ws://hub:3000/api/runner-link')
  assert.equal(linkUrl('https://hub/errand/').href, 'wss://hub/errand/api/runner-link')
  assert.equal(linkUrl('wss://hub/a/b?x=1#y').href, 'wss://hub/a/b/api/runner-link')
})

test('an invalid hub URL is refused with a hint', () => {
  for (const url of ['', 'hub:3000', 'ftp://hub', 'nonsense'])
    assert.throws(() => linkUrl(url), { code: 'invalid_argument', hint: /ERRAND_HUB_URL/ })
})

test('only an unencrypted link that leaves this machine is readable on its way', () => {
  for (const url of ['https://hub', 'http://localhost:3000', 'http://127.0.0.1:3000', 'http://[::1]:3000'])
    assert.equal(isSheltered(linkUrl(url)), true, url)
  for (const url of [
    'http://hub',
    'http://10.0.0.1',
    'http://127.0.0.1.example.com',
    'http://localhost.example.com',
  ])
    assert.equal(isSheltered(linkUrl(url)), false, url)
})
