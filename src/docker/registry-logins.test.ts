import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { registryLogin } from './registry-logins.ts'

const IMAGE = 'registry.example.com:5000/team/errand:1'
const basic = (text: string) => ({ auth: Buffer.from(text).toString('base64') })

function opened(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'errand-logins-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'config.json')
  const write = (content: unknown) =>
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
  return { folder, file, write, of: (image = IMAGE) => registryLogin(image, { DOCKER_CONFIG: folder }) }
}

test('only the login of the right registry is found, in any spelling of its host', async (t) => {
  const { write, of } = opened(t)
  const login = { username: 'bot', password: 'a:b' }
  for (const key of ['registry.example.com:5000', 'https://registry.example.com:5000/v1/']) {
    write({ auths: { 'registry.example.com': basic('other:x'), [key]: basic('bot:a:b') } })
    assert.deepEqual(await of(), { login })
  }
  write({ auths: { 'registry.example.com:5000': { username: 'bot', password: 'a:b' } } })
  assert.deepEqual(await of(), { login })
  write({ auths: { 'registry.example.com:5000': { auth: '', identitytoken: 'token' } } })
  assert.deepEqual(await of(), { login: { identitytoken: 'token' } })
  write({ auths: { 'https://index.docker.io/v1/': basic('bot:a:b') } })
  for (const image of ['errand', 'team/errand:1', 'docker.io/team/errand'])
    assert.deepEqual(await of(image), { login })
  assert.equal((await of()).login, undefined)
})

test('the login comes from the home folder by default', async (t) => {
  const { folder } = opened(t)
  mkdirSync(join(folder, '.docker'))
  writeFileSync(join(folder, '.docker/config.json'), JSON.stringify({ auths: { 'docker.io': basic('a:b') } }))
  assert.deepEqual(await registryLogin('errand', { HOME: folder }), {
    login: { username: 'a', password: 'b' },
  })
})

test('an error says why there is no login, and what to do', async (t) => {
  const { folder, file, write, of } = opened(t)
  const missing = async (content: unknown) => {
    write(content)
    return (await of()).missing
  }
  const again = 'log in with: docker login registry.example.com:5000'
  assert.equal((await of()).missing, `${file} does not exist: ${again}`)
  assert.equal(await missing('{'), `${file} is not a valid Docker configuration: ${again}`)
  assert.equal(await missing({ auths: [] }), `${file} is not a valid Docker configuration: ${again}`)
  for (const entry of [{}, basic('no colon'), basic('')])
    assert.equal(
      await missing({ auths: { 'registry.example.com:5000': entry } }),
      `${file} has no login for registry.example.com:5000: ${again}`,
    )
  for (const helped of [
    { auths: { 'registry.example.com:5000': {} }, credsStore: 'desktop' },
    { credsStore: 'pass', credHelpers: { 'registry.example.com:5000': 'desktop' } },
  ])
    assert.match((await missing(helped))!, /to docker-credential-desktop, which the hub does not call: add/)
  rmSync(file)
  mkdirSync(file)
  assert.equal((await of()).missing, `${folder}/config.json cannot be read: EISDIR`)
})
