import assert from 'node:assert/strict'
import test from 'node:test'
import { startPrograms } from '../support/programs.ts'

test("errand runs instances lists a page of a step's instances, the failed ones first, and their counts", async (t) => {
  const { client, call, ended } = await startPrograms(t)
  const { run_id } = await client.runs.create({
    workflow: {
      ...{ version: 'v0.1', name: 'many' },
      steps: [
        {
          ...{ name: 'part', foreach: Array.from({ length: 30 }, (_, item) => `item-${item}`) },
          action: 'cmd.run',
          args: { cmd: 'test ${ITEM} != item-17' },
        },
      ],
    },
  })
  await ended(run_id)
  const ask = async (...args: string[]) => await call('runs', 'instances', run_id, 'part', ...args)
  const { code, stdout, stderr } = await ask('--limit', '2')
  assert.equal(code, 0, stderr)
  const lines = stdout.trimEnd().split('\n')
  assert.match(lines[0]!, /^INDEX +HOST +STATUS +TIME +MEMORY +CPU +WHY$/)
  assert.match(lines[1]!, /^17 +.*item-17.* failed .*exit code 1$/)
  assert.equal(lines.length, 4)
  const cursor = /^More: --cursor (\S+)$/.exec(lines[3]!)![1]!
  const next = JSON.parse((await ask('--limit', '500', '--cursor', cursor, '--json')).stdout)
  assert.deepEqual([next.total, next.instances.length], [30, 28])
  const failed = JSON.parse((await ask('--status', 'failed', '--json')).stdout)
  assert.deepEqual(
    failed.instances.map(({ index }: { index: number }) => index),
    [17],
  )
  assert.match((await ask('--text', 'nowhere')).stdout, /No instances match\./)

  const glance = (await ask('--overview')).stdout.trimEnd().split('\n')
  assert.match(glance[1]!, /^failed +1 /)
  assert.match(glance[2]!, /^success +29 +\S.*\d{4}-\d\d-\d\dT/)
  assert.equal(JSON.parse((await ask('--overview', '--json')).stdout).total, 30)

  for (const [args, expected] of [
    [['--limit', '501'], /--limit is "501"[\s\S]*from 1 to 500/],
    [['--phase', 'last'], /--phase/],
  ] as const) {
    const refused = await ask(...args)
    assert.equal(refused.code, 2)
    assert.match(refused.stderr, expected)
  }
  const none = await call('runs', 'instances', run_id, 'nothing')
  assert.notEqual(none.code, 0)
  assert.match(none.stderr, /nothing/)
})
