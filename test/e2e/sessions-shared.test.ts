import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startPrograms, workflowText } from '../support/programs.ts'

test('a session shared from the command line stays shared after a hub kill, also for an ended run', async (t) => {
  const programs = await startPrograms(t)
  const { client, call } = programs
  await client.users.create({ name: 'bob', password: 'long enough' })
  const yaml = workflowText([{ name: 'one', cmd: 'true' }], { name: 'quick' })
  const { run_id } = await client.runs.create({ yaml })
  await programs.ended(run_id)
  const open = await client.runs.create({
    yaml: workflowText([{ name: 'ask', action: 'approval.wait', args: { message: 'Ship?' } }], {
      name: 'asks',
    }),
  })
  for (const id of [run_id, open.run_id]) {
    const shared = await call('sessions', 'share', id, '--with', 'bob', '--can', 'take-part', '--json')
    assert.equal(shared.code, 0, shared.stderr)
    assert.equal(JSON.parse(shared.stdout).shares[0].can, 'take-part')
  }
  await programs.kill('hub')
  await programs.startHub()
  for (const id of [run_id, open.run_id]) {
    const { stdout } = await call('sessions', 'shares', id)
    assert.match(stdout, /bob +take-part +/)
  }
  const whose = await call('sessions', 'share', run_id, '--with', 'nobody')
  assert.match(whose.stderr, /User "nobody" not found/)
  for (const wrong of [['--can', 'all'], ['--with', 'x', '--with-role', 'user'], []])
    assert.equal((await call('sessions', 'share', run_id, ...wrong)).code, 2, wrong.join(' '))
  assert.equal((await call('sessions', 'unshare', run_id, '--with', 'bob')).code, 0)
  assert.match((await call('sessions', 'shares', run_id)).stdout, /is not shared: only/)
  assert.match((await call('sessions', 'list')).stdout, /No sessions match/)
})
