import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { gzipSync } from 'node:zlib'
import { ErrandClient } from '../../src/client/client.ts'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, workflowText } from '../support/programs.ts'

test('a restored hub has lost nothing: users, tokens, sessions, secrets, waiting runs, and the code of bots', async (t) => {
  const programs = await startPrograms(t, { runner: 'none' })
  const { client, home, url } = programs
  await client.users.create({ name: 'boss', password: 'long enough', role: 'admin', tenant: 'acme' })
  const session = (await new ErrandClient({ url }).auth.login('acme/boss', 'long enough')).token
  const { token } = await client.tokens.create({ name: 'old' })
  await client.secrets.set('constructor', { value: 'opened again' })
  const steps = [{ name: 'one', secrets: ['constructor'], cmd: 'test "$constructor" = "opened again"' }]
  const { run_id } = await client.runs.create({ yaml: workflowText(steps) })
  const archive = gzipSync('the code of a bot')
  await client.bots.start({
    bot_id: 'echo',
    archive: archive.toString('base64'),
    env_vars: { KEY: 'for it alone' },
  })

  const to = join(home, 'b.tgz')
  const made = await programs.call('backup', '--to', to, '--with-key')
  assert.match(made.stdout, /holds 2 runs in \d+ files,/)
  await programs.kill('hub')
  const data = join(home, 'new')
  assert.equal((await programs.call('restore', to, '--data', data)).code, 0)
  const port = new URL(url).port
  const env = { ERRAND_DATA: data, DOCKER_HOST: `unix://${home}/none` }
  await programs.errand.start(['up', '--port', port], { env }).until('Errand is up')

  assert.equal((await new ErrandClient({ url, token: session }).auth.me()).tenant, 'acme')
  const again = new ErrandClient({ url, token })
  const ended = await eventually('the run', async () => {
    const run = await again.runs.get(run_id)
    return run.finished_at !== undefined && run
  })
  assert.equal(ended.status, 'success')
  assert.equal((await again.bots.get('echo')).state, 'start')
  const authorization = `Bearer ${readFileSync(join(data, 'runner-token'), 'utf8').trim()}`
  const upload = await fetch(`${url}/api/uploads/${hash('sha256', archive)}`, { headers: { authorization } })
  assert.deepEqual(Buffer.from(await upload.arrayBuffer()), archive)
})
