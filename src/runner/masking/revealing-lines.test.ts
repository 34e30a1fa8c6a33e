import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { KnownSecrets } from './known-secrets.ts'
import { createMasker } from './masker.ts'

const pem = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  publicKeyEncoding: { type: 'spki', format: 'pem' },
}).privateKey
const account = JSON.stringify(
  {
    type: 'service_account',
    project_id: 'shop-production',
    private_key_id: '3f2504e04f8911d39a0c0305e82c3301aabbccdd',
    private_key: pem,
    client_email: 'deploy@shop-production.iam.gserviceaccount.com',
    auth_uri: 'https://accounts.google.com/o/oauth2/auth',
    token_uri: 'https://oauth2.googleapis.com/token',
    auth_provider_x509_cert_url: 'https://www.googleapis.com/oauth2/v1/certs',
    universe_domain: 'googleapis.com',
  },
  undefined,
  2,
)
const cluster = `apiVersion: v1
kind: Config
version: 1
preferences: {}
current-context: production
users:
- name: deploy
  user:
    token: short-7
    client-key-data: ${Buffer.from(pem).toString('base64')}
`
const settings = `DB_HOST=database.internal
DB_USER=application
DB_PASSWORD=hunter22
DATABASE_URL=postgres://application:sesame@database.internal/shop
BUILD_ID=Tr0ub4dor&3xK
`
const phrase = 'correct horse battery staple\nzebra crossing at noon\nthe last of them'

const holds = (secret: string, text: string) => {
  const { masker } = new KnownSecrets([{ name: 'S', value: secret }])
  return masker.maskText(text) !== text
}
const lineWith = (secret: string, part: string) =>
  secret
    .split('\n')
    .find((line) => line.includes(part))!
    .trim()

for (const [what, secret, parts] of [
  ['a key', pem, [pem.split('\n')[1]!, pem.split('\n')[20]!]],
  ['an account', account, ['"private_key_id"', '"private_key":']],
  ['a cluster', cluster, ['token: short-7', 'client-key-data']],
  ['settings', settings, ['DB_PASSWORD', 'DATABASE_URL', 'BUILD_ID']],
] as const)
  for (const part of parts)
    test(`a file with a telling line of ${what} is found: ${part.slice(0, 20)}`, () => {
      const line = lineWith(secret, part)
      assert.ok(holds(secret, `one\n  ${line}\ntwo\n`))
      assert.ok(holds(secret, JSON.stringify({ text: line })))
    })

test('two consecutive lines of prose are found, and one alone is not', () => {
  const [first, second, third] = phrase.split('\n') as [string, string, string]
  assert.ok(holds(phrase, `a\n${first}\n${second}\n`))
  assert.ok(holds(phrase, JSON.stringify(`${second}\n${third}`)))
  for (const one of [first, second, third]) assert.ok(!holds(phrase, `a\n${one}\nb\n`), one)
})

test('a whole secret that consists of common lines is found', () => {
  const common = 'version: 1\nkind: Config\nusers: everybody'
  assert.ok(holds(common, `# mine\n${common}\n`))
  assert.ok(holds(common, Buffer.from(common).toString('base64')))
  assert.ok(!holds(common, 'version: 1\nkind: Config\nusers: nobody\n'))
})

for (const [what, secret, text] of [
  ['a frame of a key', pem, '-----BEGIN PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----\n'],
  [
    'an example of an account',
    account,
    account
      .split('\n')
      .map((line) => (/private_key|project|client_email/.test(line) ? line.replace(/: ".*"/, ': "…"') : line))
      .join('\n'),
  ],
  [
    'an example of a cluster',
    cluster,
    cluster.replace('token: short-7', 'token: TOKEN').replace(/data: .*/, 'data: DATA'),
  ],
  ['a workflow', cluster, 'version: 1\nkind: Config\nname: deploy\n'],
  [
    'an example of settings',
    settings,
    'DB_HOST=database.internal\nDB_USER=application\nDB_PASSWORD=\nBUILD_ID=1\n',
  ],
] as const)
  test(`${what} is not a secret, though it shares lines with one`, () => {
    assert.ok(!holds(secret, text))
    assert.ok(what.startsWith('a frame') || createMasker([secret]).maskText(text) !== text, 'output masks it')
  })
