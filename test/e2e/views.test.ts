import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startPrograms, workflowText } from '../support/programs.ts'

test('a view saved on the command line lists its runs, also after the hub was killed', async (t) => {
  const programs = await startPrograms(t)
  const { client, call } = programs
  const create = async (name: string, cmd: string) => {
    const yaml = workflowText([{ name: 'one', cmd }], { name })
    const { run_id } = await client.runs.create({ yaml })
    await programs.ended(run_id)
    return run_id
  }
  const failed = await create('nightly', 'exit 3')
  await create('nightly', 'true')
  await create('build', 'exit 3')
  const saved = await call('views', 'save', 'broken nights', 'status:failed', 'workflow:nightly')
  assert.equal(saved.code, 0, saved.stderr)
  await client.views.markSeen({ run_ids: [failed] })
  await programs.kill('hub')
  await programs.startHub()
  const listed = await call('runs', 'list', '--view', 'Broken Nights', '--json')
  const ids = (text: string) => JSON.parse(text).runs.map(({ run_id }: { run_id: string }) => run_id)
  assert.deepEqual(ids(listed.stdout), [failed], listed.stderr)
  assert.equal((await client.views.failures()).runs.length, 1)
  const narrowed = await call('runs', 'list', '--view', saved.stdout.trim(), '--status', 'success', '--json')
  assert.equal(ids(narrowed.stdout).length, 1)

  const changed = await call('views', 'change', 'broken nights', 'status:failed', '--shared', '--name', 'red')
  assert.equal(changed.code, 0, changed.stderr)
  const { stdout } = await call('views', 'list')
  assert.match(stdout, /red +all +\S+ +status:failed/)
  assert.equal((await call('views', 'change', 'red')).code, 2)
  assert.equal((await call('views', 'delete', 'red', '--json')).code, 0)
  assert.match((await call('views', 'list')).stdout, /There are no saved filters/)
  const gone = await call('runs', 'list', '--view', 'red')
  assert.match(gone.stderr, /view "red" not found/)
})
