import assert from 'node:assert/strict'
import { test } from 'node:test'
import { linkUrl } from './link-url.ts'

test('http becomes ws, https becomes wss, and a base path is kept', () => {
  assert.equal(linkUrl('http://hub:3000').href, 'ws://hub:3000/api/runner-link')
  assert.equal(linkUrl('https://hub/errand/').href, 'wss://hub/errand/api/runner-link')
  assert.equal(linkUrl('wss://hub/a/b?x=1#y').href, 'wss://hub/a/b/api/runner-link')
})

test('what is no URL of a hub is refused with a hint', () => {
  for (const url of ['', 'hub:3000', 'ftp://hub', 'nonsense'])
    assert.throws(() => linkUrl(url), { code: 'invalid_argument', hint: /ERRAND_HUB_URL/ })
})
