import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import type { ConfiguredForge } from '../../config/config-file.ts'
import { ForgeHooks, type ForgeNews } from './forge-hooks.ts'

const SECRET = 'the-hooks-own-secret'
const forges = new Map<string, ConfiguredForge>(
  (['github', 'gitea', 'gitlab'] as const).map((kind) => [
    `${kind}.example:8443`,
    { host: `${kind}.example:8443`, kind, webhook_secret: 'HOOK' },
  ]),
)
forges.set('plain.example', { host: 'plain.example', kind: 'github' })

function hooks() {
  const woken: ForgeNews[] = []
  const taken = new ForgeHooks({
    forges: { forgeOf: (host) => forges.get(host) },
    secrets: {
      valueSeen: async ({ owner }, names) => (owner === '' && names[0] === 'HOOK' ? SECRET : undefined),
    },
    wake: (news) => woken.push(news),
  })
  return { taken, woken }
}

const hmac = (body: string, secret = SECRET) => createHmac('sha256', secret).update(body).digest('hex')
const signed = {
  github: (body: string, secret?: string) => ({ 'x-hub-signature-256': `sha256=${hmac(body, secret)}` }),
  gitea: (body: string, secret?: string) => ({ 'x-gitea-signature': hmac(body, secret) }),
  gitlab: (_: string, secret = SECRET) => ({ 'x-gitlab-token': secret }),
}
const bodies = {
  github: { action: 'x', repository: { full_name: 'acme/app' }, pull_request: { number: 3 } },
  gitea: { repository: { full_name: 'acme/app' }, issue: { number: 3 } },
  gitlab: {
    object_kind: 'merge_request',
    project: { path_with_namespace: 'acme/app' },
    object_attributes: { iid: 3 },
  },
}

for (const kind of ['github', 'gitea', 'gitlab'] as const)
  test(`${kind}: a signed message says where to look, once; any other is refused`, async () => {
    const { taken, woken } = hooks()
    const host = `${kind}.example:8443`
    const body = JSON.stringify(bodies[kind])
    const message = { headers: signed[kind](body), body }
    for (const headers of [{}, signed[kind](body, 'other'), signed[kind](body, '')])
      await assert.rejects(taken.take(host, { headers, body }), { code: 'unauthorized' })
    if (kind !== 'gitlab')
      await assert.rejects(taken.take(host, { ...message, body: `${body} ` }), { code: 'unauthorized' })
    for (const other of ['plain.example', 'unknown.example', '__proto__'])
      await assert.rejects(taken.take(other, message), { code: 'unauthorized' })
    assert.deepEqual(woken, [])
    assert.equal(await taken.take(host.toUpperCase(), message), 1)
    // The signature does not cover the id.
    assert.equal(
      await taken.take(host, { ...message, headers: { ...message.headers, 'x-github-delivery': 'b' } }),
      0,
    )
    assert.deepEqual(woken, [{ host, path: 'acme/app', number: 3 }])
  })

test('a message without a number applies to the whole repository, and one without a repository to nothing', async () => {
  const { taken, woken } = hooks()
  const send = (text: string) =>
    taken.take('github.example:8443', { headers: signed.github(text), body: text })
  assert.equal(await send('{"zen": "x", "repository": null}'), 0)
  await send('{"repository": {"full_name": "acme/app"}, "pull_request": {"number": "3"}, "issue": 4}')
  assert.deepEqual(woken, [{ host: 'github.example:8443', path: 'acme/app' }])
  for (const text of ['', 'payload=%7B%7D', '3', 'null', '['])
    await assert.rejects(send(text), { code: 'bad_request' })
})
