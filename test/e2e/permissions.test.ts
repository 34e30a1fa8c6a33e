import assert from 'node:assert/strict'
import test from 'node:test'
import { startPrograms } from '../support/programs.ts'

test('a token creates tokens, users and secrets only with that permission, and what it creates ends with it', async (t) => {
  const { call, errand, env, url } = await startPrograms(t, { runner: 'none' })
  const created = async (...args: string[]) => {
    const { code, stdout, stderr } = await call('tokens', 'create', ...args, '--json')
    assert.equal(code, 0, stderr)
    return JSON.parse(stdout)
  }
  const wrong = await call('tokens', 'create', 'x', '--allow', 'tokens,all')
  assert.deepEqual([wrong.code, /--allow is "all"/.test(wrong.stderr)], [2, true], wrong.stderr)

  // The command line on the hub's own machine counts as a log-in.
  const plain = await created('plain')
  const ci = await created('ci', '--allow', 'tokens,secrets', '--expires-in', '1h')
  assert.deepEqual([plain.allow, ci.allow, ci.made_by], [undefined, ['tokens', 'secrets'], undefined])
  const withPassword = (...args: string[]) =>
    errand.run([...args, '--password-stdin'], { env, stdin: 'a long password' })
  const refusals: [permission: string, args: string[]][] = [
    ['tokens', ['tokens', 'create', 'more']],
    ['tokens', ['runners', 'enroll-token']],
    ['secrets', ['secrets', 'set', 'KEY=long enough']],
    ['secrets', ['secrets', 'delete', 'KEY']],
    ['users', ['users', 'disable', 'ann']],
  ]
  assert.equal((await withPassword('users', 'add', 'ann')).code, 0)
  for (const [permission, args] of refusals) {
    const { code, stderr } = await call(...args, '--token', plain.token)
    assert.equal(code, 6, `${args}: ${stderr}`)
    assert.match(stderr, new RegExp(`The token "plain" does not have the permission "${permission}"`))
    assert.match(stderr, new RegExp(`errand login.*errand tokens create NAME --allow ${permission}`))
  }
  assert.equal((await call('secrets', 'set', 'KEY=long enough', '--token', ci.token)).code, 0)
  assert.equal((await call('users', 'disable', 'ann', '--token', ci.token)).code, 6)
  const child = await call('tokens', 'create', 'child', '--never', '--token', ci.token)
  assert.match(
    child.stderr,
    new RegExp(`is valid until ${ci.expires_at}, but no longer than the token that created it`),
  )
  assert.match((await call('tokens', 'list')).stdout, /ci +api\+tokens\+secrets/)

  await call('tokens', 'revoke', ci.id)
  const after = await call('runs', 'list', '--token', child.stdout.trim())
  assert.deepEqual([after.code, /revoked/.test(after.stderr)], [6, true], after.stderr)

  // A log-in by password counts as well.
  await withPassword('users', 'add', 'ops', '--admin')
  const login = await withPassword('login', url, '-u', 'ops')
  assert.equal(login.code, 0, login.stderr)
  const made = await call('tokens', 'create', 'own', '--allow', 'users')
  assert.equal(made.code, 0, made.stderr)
})
