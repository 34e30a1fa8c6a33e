import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import { deliveryId, isSigned } from './webhook-signatures.ts'

const body = Buffer.from('Hello, World!')
const secret = "It's a Secret to Everybody"
const hex = createHmac('sha256', secret).update(body).digest('hex')
const nowMs = 1_700_000_000_000

/** Uses GitHub's own example from its documentation. */
test("GitHub's example of a signature is accepted, and no other", () => {
  const example = '757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17'
  assert.equal(hex, example)
  const header = (value: string) => ({ 'x-hub-signature-256': value })
  assert.equal(isSigned('github', header(`sha256=${example}`), body, secret), true)
  for (const wrong of [`sha256=${'0'.repeat(64)}`, example, `sha256=${example.slice(2)}`, 'sha256=', ''])
    assert.equal(isSigned('github', header(wrong), body, secret), false, wrong)
  assert.equal(isSigned('github', header(`sha256=${example}`), Buffer.from('Hello, World?'), secret), false)
  assert.equal(isSigned('github', {}, body, secret), false)
})

test('a signature of Gitea or Forgejo is accepted in its header', () => {
  for (const name of ['x-gitea-signature', 'x-forgejo-signature'])
    assert.equal(isSigned('gitea', { [name]: hex }, body, secret), true)
  assert.equal(isSigned('gitea', { 'x-gitea-signature': [hex, hex] }, body, secret), false)
  assert.equal(isSigned('gitea', { 'x-hub-signature-256': `sha256=${hex}` }, body, secret), false)
})

test("GitLab's token is the secret itself, and an empty secret matches nothing", () => {
  assert.equal(isSigned('gitlab', { 'x-gitlab-token': secret }, body, secret), true)
  assert.equal(isSigned('gitlab', { 'x-gitlab-token': `${secret}.` }, body, secret), false)
  for (const kind of ['github', 'gitea', 'gitlab'] as const)
    assert.equal(isSigned(kind, { 'x-gitlab-token': '', 'x-gitea-signature': hex }, body, ''), false)
})

test('a Standard Webhooks message is signed with its id and time, and must not be old', () => {
  const key = Buffer.from('0123456789abcdef01234567')
  const secretText = `whsec_${key.toString('base64')}`
  const at = (time: number, text = body) => ({
    'webhook-id': 'msg_1',
    'webhook-timestamp': String(time),
    'webhook-signature': `v1,wrong v1,${createHmac('sha256', key).update(`msg_1.${time}.`).update(text).digest('base64')}`,
  })
  const seconds = nowMs / 1000
  assert.equal(isSigned('gitlab', at(seconds), body, secretText, nowMs), true)
  for (const away of [-301, 301])
    assert.equal(isSigned('gitlab', at(seconds + away), body, secretText, nowMs), false)
  const other = { ...at(seconds), 'webhook-id': 'msg_2' }
  assert.equal(isSigned('gitlab', other, body, secretText, nowMs), false)
  // The token header must not bypass the signature.
  assert.equal(isSigned('gitlab', { ...other, 'x-gitlab-token': secretText }, body, secretText, nowMs), false)
})

test('a delivery has the id that its sender gives it', () => {
  assert.equal(deliveryId({ 'x-github-delivery': 'a' }), 'a')
  assert.equal(deliveryId({ 'webhook-id': 'msg_1' }), 'msg_1')
  assert.equal(deliveryId({}), undefined)
})
