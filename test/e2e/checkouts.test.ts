import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, writeWorkflow } from '../support/programs.ts'
import { makeRepository, needsLogin, serveGit } from '../support/sources/git-fixture.ts'

test('runs use a checkout of a private repository in turn and across a kill, and its token is nowhere', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'errand-server-'))
  t.after(() => rmSync(root, { recursive: true }))
  const commit = makeRepository(join(root, 'r.git'), [{ path: 'say', content: 'echo "said $1"\n' }])
  const host = await serveGit(root)
  t.after(() => host.close())
  const token = randomUUID()
  host.intercept = needsLogin({ username: 'x-access-token', password: token })
  const programs = await startPrograms(t, { runnerEnv: { ERRAND_GIT_ALLOW: host.origin() } })
  const { call, home, runnerFolder } = programs
  const servers = ['--host', new URL(host.origin()).host, '--host', '127.0.0.1:1']
  await call('secrets', 'set', `GIT_TOKEN=${token}`, ...servers)
  const flow = (repo: string) =>
    writeWorkflow(join(home, 'flow.yaml'), [
      { name: 'code', action: 'git.workspace', args: { repo, branch: 'errand/one' }, secrets: ['GIT_TOKEN'] },
      {
        name: 'use',
        needs: ['code'],
        cmd: 'test ! -e left && sh say hello && git rev-parse HEAD && git branch --show-current && echo x > left && pwd',
      },
    ])
  const slots = join(runnerFolder, 'checkouts/slots')
  const phases = () =>
    readdirSync(slots).map((slot) => JSON.parse(readFileSync(join(slots, slot, 'state.json'), 'utf8')).phase)
  const places = new Set<string>()
  for (const isKilled of [false, true]) {
    if (isKilled) {
      await programs.kill('runner')
      await programs.startRunner()
      await eventually('a checkout that is like new', () => phases().join() === 'free')
    }
    const { code, stdout, stderr } = await call('run', '--hub', flow(`${host.origin()}/r.git`))
    assert.equal(code, 0, stdout + stderr)
    for (const text of ['said hello', commit, 'errand/one']) assert.ok(stdout.includes(text), stdout)
    places.add(/\S+\/work\b/.exec(stdout)![0])
  }
  assert.equal(places.size, 1)
  // Another system gets a checkout from the hub, with the token that the hub stores.
  const ask = async (path: string, body: object): Promise<{ slot_id: string; slot_path: string }> => {
    const headers = {
      authorization: `Bearer ${readFileSync(join(programs.data, 'local-token'), 'utf8')}`,
      'content-type': 'application/json',
    }
    const url = `${programs.url}/api/pool/slots/${path}`
    return JSON.parse(
      await (await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })).text(),
    )
  }
  const body = { repo_url: `${host.origin()}/r.git`, required_by: '7' }
  const leased = await ask('allocate', body)
  assert.ok(leased.slot_path, JSON.stringify(leased))
  assert.match(readFileSync(join(leased.slot_path, 'say'), 'utf8'), /said/)
  await programs.kill('runner')
  await programs.startRunner()
  await eventually('the runner, which has the checkout', async () => {
    return (await ask(`${leased.slot_id}/renew`, {})).slot_path === leased.slot_path
  })
  assert.equal((await ask('allocate', body)).slot_id, leased.slot_id)
  assert.deepEqual(await ask(`${leased.slot_id}/release`, {}), { slot_id: leased.slot_id, state: 'free' })
  await eventually('checkouts that are like new', () => phases().every((phase) => phase === 'free'))
  const refused = await call('run', '--hub', flow('http://127.0.0.1:1/r.git'))
  assert.equal(refused.code, 1, refused.stdout + refused.stderr)
  assert.match(refused.stdout + refused.stderr, /not encrypted[\s\S]*ERRAND_GIT_ALLOW/)
  const found = spawnSync('grep', ['-rl', token, join(runnerFolder, 'checkouts')], { encoding: 'utf8' })
  assert.deepEqual([found.status, found.stdout], [1, ''])
})
